import Glibc

/// Lines of stdin, without their ends (LF or CR LF), read as they come. A line may be as long as memory allows up to
/// `longest`; what is beyond is cut off and makes the line an invalid one, never a shorter question.
struct Lines {
    private static let longest = 16 << 20
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)
    private var start = 0
    private var end = 0
    private var isDone = false

    mutating func next() -> [UInt8]? {
        var line: [UInt8] = []
        while true {
            if start == end {
                guard fill() else { return line.isEmpty ? nil : line }
            }
            if let newline = buffer[start..<end].firstIndex(of: 0x0A) {
                append(start..<newline, to: &line)
                start = newline + 1
                if line.last == 0x0D { line.removeLast() }
                return line
            }
            append(start..<end, to: &line)
            start = end
        }
    }

    private func append(_ range: Range<Int>, to line: inout [UInt8]) {
        if line.count + range.count <= Self.longest {
            line += buffer[range]
        } else if line.last != 0xFF {
            line.append(0xFF)  // no UTF-8 has this byte: the line is refused, in its place
        }
    }

    private mutating func fill() -> Bool {
        if isDone { return false }
        var count = -1
        repeat { count = read(0, &buffer, buffer.count) } while count < 0 && errno == EINTR
        (start, end) = (0, max(0, count))
        isDone = count <= 0
        return count > 0
    }
}
