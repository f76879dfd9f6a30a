import ModelFormat

/// Follows a history line by line and sees whether each belongs after the one before it, wherever the lines come from.
public struct HistoryChain: Sendable {
    /// Before the first line.
    public static let start = String(repeating: "0", count: 64)

    private let file: String
    /// How many lines there were.
    public private(set) var lines = 0
    /// The hash of the last one.
    public private(set) var head = Self.start

    /// - Parameter file: where the lines come from, for messages.
    public init(file: String) { self.file = file }

    /// - Throws: `.broken`.
    public mutating func follow(_ line: Ledger.Line) throws(LedgerError) {
        guard line.number == lines + 1 else {
            throw .broken(file: file, line: lines + 1, expected: "that line", found: "line \(line.number)")
        }
        let expected = Self.hash(after: head, line.number, line.at, line.kind, line.body)
        guard line.hash == expected else {
            throw .broken(file: file, line: line.number, expected: expected, found: line.hash)
        }
        (lines, head) = (line.number, line.hash)
    }

    /// SHA-256 of `PREVIOUS LF NUMBER LF AT LF KIND LF BODY LF`.
    static func hash(after previous: String, _ number: Int, _ at: String, _ kind: String, _ body: String) -> String {
        "\(Digest(of: Array("\(previous)\n\(number)\n\(at)\n\(kind)\n\(body)\n".utf8)))"
    }
}
