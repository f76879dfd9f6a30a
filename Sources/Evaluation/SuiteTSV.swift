extension Suite {
    /// Tab-separated: a line of column names (`sentence`, `answer`, perhaps `also` with `|` between its answers, others
    /// unheeded), then a line for each row. Nothing is quoted and nothing trimmed.
    ///
    /// - Parameter file: for messages; the name with its extension unless told.
    /// - Throws: `.row`, `.duplicate`, `.tooManyRows`, `.noRows`.
    public init(tsv bytes: [UInt8], name: String, file: String? = nil) throws(EvaluationError) {
        let file = file ?? name + ".tsv"
        var columns: Columns?
        var list = RowList()
        for line in SuiteLines(bytes, file: file) {
            let fields = try line.text().pieces(between: "\t")
            guard let columns else {
                columns = try Columns(fields, at: line.place)
                continue
            }
            guard fields.count <= columns.count else {
                throw line.place.refusal(
                    "\(columns.count) columns, as in the first line", zh: " \(columns.count) 列，与首行相同",
                    found: "\(fields.count)")
            }
            try list.append(
                sentence: try columns.field(columns.sentence, "sentence", of: fields, at: line.place),
                answer: try columns.field(columns.answer, "answer", of: fields, at: line.place),
                also: columns.also(of: fields), at: line.place)
        }
        try self.init(name: name, rows: list.rows, file: file)
    }
}

private struct Columns {
    let count: Int
    let sentence: Int
    let answer: Int
    private let also: Int?

    init(_ names: [String], at place: Row.Place) throws(EvaluationError) {
        func index(_ name: String) throws(EvaluationError) -> Int? {
            let indices = names.indices.filter { names[$0] == name }
            guard indices.count < 2 else {
                throw place.refusal("one column \"\(name)\"", zh: "一个 \(name) 列", found: "\(indices.count)")
            }
            return indices.first
        }
        func required(_ name: String) throws(EvaluationError) -> Int {
            if let index = try index(name) { return index }
            throw place.refusal("a column \"\(name)\"", zh: "含 \(name) 列的首行", found: names.joined(separator: ", "))
        }
        count = names.count
        sentence = try required("sentence")
        answer = try required("answer")
        also = try index("also")
    }

    func field(
        _ index: Int, _ name: String, of fields: [String], at place: Row.Place
    ) throws(EvaluationError) -> String {
        guard index < fields.count else {
            throw place.refusal("a column \"\(name)\"", zh: "含 \(name) 列的一行", found: "\(fields.count)")
        }
        return fields[index]
    }

    func also(of fields: [String]) -> [String] {
        guard let also, also < fields.count, !fields[also].isEmpty else { return [] }
        return fields[also].pieces(between: "|")
    }
}

extension String {
    /// By scalars: an accent after a separator is one Character with it.
    fileprivate func pieces(between separator: Unicode.Scalar) -> [String] {
        unicodeScalars.split(separator: separator, omittingEmptySubsequences: false).map { String($0) }
    }
}
