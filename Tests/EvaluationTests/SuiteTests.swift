import Disk
import Evaluation
import Explain
import Foundation
import TestSupport
import Testing

@Suite("a suite is read from a file, or refused with file and line")
struct SuiteTests {
    private func tsv(_ text: String) throws -> Evaluation.Suite { try .init(tsv: Array(text.utf8), name: "idioms") }
    private func jsonl(_ text: String) throws -> Evaluation.Suite { try .init(jsonl: Array(text.utf8), name: "idioms") }

    private func refusal(_ read: () throws -> Evaluation.Suite) -> String {
        do { return "accepted \(try read().rows.count) rows" } catch {
            return String("\(error)".prefix { $0 != "\n" })
        }
    }

    @Test("the run of masks becomes one, and its length is the answer's")
    func masks() throws {
        let suite = try tsv("sentence\tanswer\n春[MASK][MASK]人面，秋月照松间。\t风拂\n[MASK]好\t你\n好[MASK]\t吗\n")
        #expect(suite.name == "idioms")
        #expect(suite.rows.map(\.text) == ["春[MASK]人面，秋月照松间。", "[MASK]好", "好[MASK]"])
        #expect(suite.rows.map(\.span) == [2, 1, 1])
        #expect(suite.rows.map(\.answer) == ["风拂", "你", "吗"])
    }

    @Test("other right answers are as right, compared scalar by scalar")
    func also() throws {
        let row = try tsv("sentence\tanswer\talso\n我[MASK]你\t爱\t想|é\n").rows[0]
        #expect(row.also == ["想", "é"])
        #expect(row.isRight("爱") && row.isRight("想") && row.isRight("\u{E9}"))
        #expect(!row.isRight("e\u{301}") && !row.isRight("恨") && !row.isRight(""))
    }

    @Test("a mark that joins the bracket of a mask does not hide the mask")
    func accent() throws {
        #expect(try tsv("sentence\tanswer\n好[MASK]\u{301}\t吗\n").rows[0].span == 1)
    }

    @Test("columns in any order, unknown ones, CRLF, blank lines, a byte order mark, no last line end")
    func lenient() throws {
        let suite = try tsv("\u{FEFF}\r\nnote\tanswer\tsentence\talso\r\n\r\nx\t你\t[MASK]好\t\r\n \t\r\ny\t吗\t好[MASK]")
        #expect(suite.rows.map(\.answer) == ["你", "吗"])
        #expect(suite.rows.map(\.also) == [[], []])
    }

    @Test("JSON lines say the same as tab-separated ones")
    func jsonLines() throws {
        let lines = """
            {"sentence": "我[MASK][MASK]你", "answer": "喜欢", "also": ["想念"], "note": 1}

            {"answer": "吗", "sentence": "好[MASK]"}
            """
        #expect(try jsonl(lines) == tsv("sentence\tanswer\talso\n我[MASK][MASK]你\t喜欢\t想念\n好[MASK]\t吗"))
    }

    @Test("a row whose masks are not its answer's length is refused with file and line", arguments: [
        ("好[MASK]\t你好", "expected 1 character, as there are [MASK], found \"你好\""),
        ("好[MASK][MASK]\t你", "expected 2 characters, as there are [MASK], found \"你\""),
        ("好[MASK]\t你\t我们", "expected 1 character, as there are [MASK], found \"我们\""),
        ("好[MASK]\t你\t我||他", "expected 1 character, as there are [MASK], found \"\""),
        ("好[MASK]\t", "expected an answer, found \"\""),
        ("你好\t你", "expected a [MASK], found 你好"),
        ("[MASK]好[MASK]\t你我", "expected one run of adjacent [MASK], found [MASK]好[MASK]"),
        ("[MASK] [MASK]\t你我", "expected one run of adjacent [MASK], found [MASK] [MASK]"),
        ("[MASK][MASK][MASK][MASK][MASK][MASK][MASK][MASK][MASK]\t一二三四五六七八九", "expected 1 to 8 [MASK], found 9"),
        ("好[MASK]", "expected a column \"answer\", found 1"),
        ("好[MASK]\t你\t我\t他", "expected 3 columns, as in the first line, found 4"),
    ])
    func rows(line: String, reason: String) {
        let text = "sentence\tanswer\talso\r\n\r\n我[MASK]\t们\r\n\(line)\r\n"
        #expect(refusal { try tsv(text) } == "idioms.tsv:4: \(reason)")
    }

    @Test("first lines without their columns, files without rows")
    func headings() {
        #expect(refusal { try tsv("answer\tnote\n") } == "idioms.tsv:1: expected a column \"sentence\", found answer, note")
        #expect(refusal { try tsv("sentence\tsentence\tanswer\n") } == "idioms.tsv:1: expected one column \"sentence\", found 2")
        #expect(refusal { try tsv("sentence\tanswer\n\n") } == "idioms.tsv: expected rows, found none")
        #expect(refusal { try tsv("") } == "idioms.tsv: expected rows, found none")
        #expect(refusal { try jsonl("\n\n") } == "idioms.jsonl: expected rows, found none")
    }

    @Test("a sentence that comes twice is refused with both lines; one of another length is another")
    func duplicates() throws {
        let text = "sentence\tanswer\n好[MASK]\t吗\n好[MASK][MASK]\t不好\n"
        #expect(try tsv(text).rows.count == 2)
        #expect(refusal { try tsv(text + "好[MASK]\t啊\n") } == "idioms.tsv:4: expected a new sentence, found that of line 2")
    }

    @Test("lines of JSON that are none, or hold something else", arguments: [
        ("[1]", "expected a JSON object, found an array"),
        ("{", "expected a JSON object, found JSON ends early: expected a key or '}'"),
        (#"{"answer": "你"}"#, "expected a string \"sentence\", found none"),
        (#"{"sentence": "[MASK]", "answer": 1}"#, "expected a string \"answer\", found a number"),
        (#"{"sentence": "[MASK]", "answer": "你", "also": "我"}"#, "expected an array \"also\", found a string"),
        (#"{"sentence": "[MASK]", "answer": "你", "also": [1]}"#, "expected strings in \"also\", found a number"),
    ])
    func jsonRefused(line: String, reason: String) {
        #expect(refusal { try jsonl("\n" + line) } == "idioms.jsonl:2: \(reason)")
    }

    @Test("what is not UTF-8 is refused where it stands, in both formats")
    func invalidText() {
        let bytes = Array("sentence\tanswer\n".utf8) + [0xE6, 0x98, 0x0A]
        #expect(refusal { try .init(tsv: bytes, name: "x") } == "x.tsv:2: expected UTF-8, found an invalid byte")
        #expect(refusal { try .init(jsonl: [0x0A, 0xFF], name: "x") } == "x.jsonl:2: expected UTF-8, found an invalid byte")
    }

    @Test("a hundred thousand rows are a suite, one more is refused")
    func tooMany() throws {
        var text = "sentence\tanswer\n"
        for number in 0..<100_000 { text += "\(number)[MASK]\t年\n" }
        #expect(try tsv(text).rows.count == 100_000)
        #expect(refusal { try tsv(text + "x[MASK]\t年\n") } == "idioms.tsv: expected at most 100000 rows, found more")
    }

    @Test("errors are said in both languages, with what to do")
    func languages() {
        let error = EvaluationError.row(file: "成语.tsv", line: 3, expected: Bilingual("an answer", zh: "答案"), found: "\"\"")
        #expect(error.text(in: .chinese).hasPrefix("成语.tsv:3：应为答案，实为 \"\"\n  提示：每题一句"))
        #expect(error.text(in: .english).contains("\n  hint: a row is a sentence with one blank"))
    }
}

@Suite("a folder of suites")
struct SuiteFolderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ name: String, _ text: String) throws { try Disk().writeDurably(text, to: folder.path + "/" + name) }

    @Test("all its suites by name; other files, hidden ones and folders beneath are not read")
    func all() throws {
        try write("poems.jsonl", #"{"sentence": "明[MASK]", "answer": "月"}"#)
        try write("poems-of-song.tsv", "sentence\tanswer\n清[MASK]\t风\n")
        try write("README.md", "not a suite")
        try write("._poems.tsv", "not a suite")
        try write(".tsv", "not a suite")
        try Disk().makeFolder(folder.path + "/more")
        try write("more/deep.tsv", "not a suite")
        let suites = try Evaluation.Suite.folder(folder.path)
        #expect(suites.map(\.name) == ["poems", "poems-of-song"])
        #expect(suites.map(\.rows.count) == [1, 1])
    }

    @Test("a row that cannot be is named with its path; so are two files of one name, and a folder that is none")
    func refused() throws {
        #expect(try Evaluation.Suite.folder(folder.path).isEmpty)
        try write("a.tsv", "sentence\tanswer\n清[MASK]\t风\n")
        try write("a.jsonl", #"{"sentence": "明[MASK]", "answer": "月"}"#)
        #expect(throws: EvaluationError.sameName(file: folder.path + "/a.tsv", other: folder.path + "/a.jsonl")) {
            try Evaluation.Suite.folder(folder.path)
        }
        try write("a.jsonl", #"{"sentence": "明月", "answer": "月"}"#)
        #expect { try Evaluation.Suite.folder(folder.path) } throws: { "\($0)".hasPrefix("\(folder.path)/a.jsonl:1: expected a [MASK]") }
        #expect(throws: EvaluationError.disk(.system(call: "opendir", path: "/nowhere", code: ENOENT))) {
            try Evaluation.Suite.folder("/nowhere")
        }
    }
}
