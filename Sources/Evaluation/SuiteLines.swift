/// The lines of a suite's file with their numbers, from 1: LF or CRLF, blank ones left out, a byte order mark (Windows
/// writes one) taken off.
struct SuiteLines: Sequence {
    let bytes: [UInt8]
    let file: String

    init(_ bytes: [UInt8], file: String) {
        self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        self.file = file
    }

    struct Line {
        let bytes: ArraySlice<UInt8>
        let place: Row.Place

        /// - Throws: `.row` where it is not UTF-8.
        func text() throws(EvaluationError) -> String {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw place.refusal("UTF-8", zh: "合法的 UTF-8", found: "an invalid byte")
            }
            return text
        }
    }

    func makeIterator() -> AnyIterator<Line> {
        var (at, number) = (0, 0)
        return AnyIterator {
            while at < bytes.count {
                let end = bytes[at...].firstIndex(of: 0x0A) ?? bytes.count
                var line = bytes[at..<end]
                (at, number) = (end + 1, number + 1)
                if line.last == 0x0D { line.removeLast() }
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
                return Line(bytes: line, place: Row.Place(file: file, line: number))
            }
            return nil
        }
    }
}
