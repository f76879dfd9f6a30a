import Explain
import StrictJSON

extension Suite {
    /// An object a line: `{"sentence": …, "answer": …, "also": […]}`, the last one optional, others unheeded.
    ///
    /// - Parameter file: for messages; the name with its extension unless told.
    /// - Throws: `.row`, `.duplicate`, `.tooManyRows`, `.noRows`.
    public init(jsonl bytes: [UInt8], name: String, file: String? = nil) throws(EvaluationError) {
        let file = file ?? name + ".jsonl"
        var list = RowList()
        for line in SuiteLines(bytes, file: file) {
            _ = try line.text()
            let object: JSON
            do { object = try JSON(parsing: line.bytes) } catch {
                throw line.place.refusal("a JSON object", zh: " JSON 对象", found: error.message.en)
            }
            guard object.members != nil else {
                throw line.place.refusal("a JSON object", zh: " JSON 对象", found: object.kind)
            }
            try list.append(
                sentence: Self.string("sentence", of: object, at: line.place),
                answer: Self.string("answer", of: object, at: line.place),
                also: Self.also(of: object, at: line.place), at: line.place)
        }
        try self.init(name: name, rows: list.rows, file: file)
    }

    private static func string(_ name: String, of object: JSON, at place: Row.Place) throws(EvaluationError) -> String {
        guard let string = object[name]?.string else {
            throw place.refusal("a string \"\(name)\"", zh: "字符串 \(name)", found: object[name]?.kind ?? "none")
        }
        return string
    }

    private static func also(of object: JSON, at place: Row.Place) throws(EvaluationError) -> [String] {
        guard let also = object["also"] else { return [] }
        guard let elements = also.elements else {
            throw place.refusal("an array \"also\"", zh: "数组 also", found: also.kind)
        }
        var answers: [String] = []
        for element in elements {
            guard let answer = element.string else {
                throw place.refusal("strings in \"also\"", zh: "由字符串组成的 also", found: element.kind)
            }
            answers.append(answer)
        }
        return answers
    }
}
