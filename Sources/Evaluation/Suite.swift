public import Disk

/// Sentences with a blank whose answers are known.
public struct Suite: Sendable, Equatable {
    /// The file's name without its extension.
    public let name: String
    public let rows: [Row]

    /// More than this is no suite but a corpus: the bootstrap would take minutes.
    public static let mostRows = 100_000

    /// - Throws: `.noRows`.
    init(name: String, rows: [Row], file: String) throws(EvaluationError) {
        guard !rows.isEmpty else { throw .noRows(file: file) }
        (self.name, self.rows) = (name, rows)
    }
}

extension Suite {
    /// Bytes; a hundred thousand rows of ordinary sentences are a fifth of it.
    private static let mostBytes = 64 << 20

    /// All `*.tsv` and `*.jsonl` of the folder itself, by name; hidden files are somebody's editor's.
    ///
    /// - Throws: `.disk`, `.sameName`, and whatever a file's own rows deserve.
    public static func folder(_ path: String, disk: Disk = Disk()) throws(EvaluationError) -> [Suite] {
        var suites: [(suite: Suite, file: String)] = []
        for name in try reading({ () throws(DiskError) in try disk.list(path) }) where !name.hasPrefix(".") {
            let file = path + "/" + name
            func bytes() throws(EvaluationError) -> [UInt8] {
                try reading { () throws(DiskError) in try disk.read(file, atMost: mostBytes) }
            }
            if let stem = name.stem(before: ".tsv") {
                suites.append((try Suite(tsv: try bytes(), name: stem, file: file), file))
            } else if let stem = name.stem(before: ".jsonl") {
                suites.append((try Suite(jsonl: try bytes(), name: stem, file: file), file))
            }
        }
        suites.sort { $0.suite.name.utf8.lexicographicallyPrecedes($1.suite.name.utf8) }
        for (one, next) in zip(suites, suites.dropFirst()) {
            guard one.suite.name.utf8.elementsEqual(next.suite.name.utf8) else { continue }
            throw .sameName(file: next.file, other: one.file)
        }
        return suites.map(\.suite)
    }

    private static func reading<Result>(_ body: () throws(DiskError) -> Result) throws(EvaluationError) -> Result {
        do { return try body() } catch { throw .disk(error) }
    }
}

extension String {
    fileprivate func stem(before ending: String) -> String? {
        hasSuffix(ending) && utf8.count > ending.utf8.count ? String(dropLast(ending.count)) : nil
    }
}
