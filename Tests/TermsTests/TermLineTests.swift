import Disk
import Explain
import TestSupport
import Terms
import Testing

/// What a folder with this one file `a.txt` gives.
private func read(_ bytes: [UInt8]) throws -> TermList {
    let folder = try TemporaryFolder()
    try Disk().writeDurably(bytes, to: folder.path + "/a.txt")
    return withExtendedLifetime(folder) { TermList.read(folder: folder.path, disk: Disk()) }
}

private func read(_ text: String) throws -> TermList { try read(Array(text.utf8)) }

@Suite("a line of a file of terms")
struct TermLineTests {
    /// The first line of the first message.
    private func fault(_ text: String) throws -> String {
        let list = try read(text)
        guard let fault = list.faults.first else { return "accepted: \(list.terms.map(\.text))" }
        #expect(list.terms.isEmpty && list.faults.count == 1 && fault.line == 1 && fault.file == "a.txt")
        return fault.message.en
    }

    private func scalars(_ count: Int, _ scalar: String = "好") -> String { String(repeating: scalar, count: count) }

    @Test("a term stands alone, with a weight, or with a weight and a domain")
    func forms() throws {
        let list = try read("天空\n心梗\t2.5\n支架\t1000\t心内科\n")
        #expect(list.terms == [Term(text: "天空"), Term(text: "心梗", weight: 2.5), Term(text: "支架", weight: 1000, domain: "心内科")])
        #expect(list.faults.isEmpty && list.furtherFaults == 0 && list.files == 1)
    }

    @Test("empty fields of weight and domain are none")
    func emptyFields() throws {
        #expect(try read("甲\t\n乙\t\t\n丙\t\t科\n丁\t2\t\n戊\t \t\u{3000}").terms == [
            Term(text: "甲"), Term(text: "乙"), Term(text: "丙", domain: "科"), Term(text: "丁", weight: 2), Term(text: "戊"),
        ])
    }

    @Test("blanks around a field do not count, the wide one of Chinese keyboards among them; blanks inside do")
    func blanks() throws {
        #expect(try read("  New York \t 3 \t two words \r\n\u{3000}天空\u{A0}\u{3000}\n").terms == [
            Term(text: "New York", weight: 3, domain: "two words"), Term(text: "天空"),
        ])
    }

    @Test("comments and blank lines are skipped and counted as lines")
    func comments() throws {
        let list = try read("# 注释\t9\t9\t9\n\n \t# indented\n   \n\t\t\n#\u{301}\n甲 # 乙\n\t2\n")
        #expect(list.terms == [Term(text: "甲 # 乙")])
        #expect(list.faults == [.line(file: "a.txt", line: 8, expected: .text, found: "")])
    }

    @Test("lines end with LF or CRLF, the last one with either or neither", arguments: ["甲\n乙\n", "甲\r\n乙\r\n", "甲\r\n乙", "\r\n甲\n\r\n乙\r"])
    func lineEnds(text: String) throws {
        let list = try read(text)
        #expect(list.terms.map(\.text) == ["甲", "乙"] && list.faults.isEmpty)
    }

    @Test("a byte order mark may begin the file, and is part of no term")
    func mark() throws {
        #expect(try read("\u{FEFF}甲\n").terms == [Term(text: "甲")])
        #expect(try read("\u{FEFF}# 甲\n").terms.isEmpty)
        #expect(try read("\u{FEFF}") == TermList(files: 1))
        #expect(try read("甲\n\u{FEFF}乙\n").faults == [.line(file: "a.txt", line: 2, expected: .text, found: "\\u{feff}乙")])
        #expect(try read("\u{FEFF}\u{FEFF}乙\n").faults.count == 1)
    }

    @Test("a weight is above 1 and at most 1000", arguments: [("1.001", 1.001), ("2", 2), ("1000", 1000), ("1000.000", 1000), ("0002.50", 2.5)])
    func weights(text: String, weight: Double) throws {
        #expect(try read("甲\t\(text)").terms == [Term(text: "甲", weight: weight)])
    }

    @Test("any other weight is a bad line", arguments: [
        "1", "1.0", "0", "-2", "0.5", "1000.01", "1001", "inf", "nan", "two", "0x10", "1e2", "+2", "2,5", "1.2.3", ".", "２", "2 3",
    ])
    func badWeights(text: String) throws {
        #expect(try fault("甲\t\(text)") == "a.txt, line 1: expected a weight above 1 and at most 1000, found \(text)")
    }

    @Test("a text has 1 to 64 scalars")
    func textLength() throws {
        for count in [1, 64] { #expect(try read(scalars(count)).terms == [Term(text: scalars(count))]) }
        #expect(try read(scalars(64, "𠮷")).terms.count == 1)
        let expected = "a.txt, line 1: expected a term of 1 to 64 visible characters without [MASK], found "
        #expect(try fault(scalars(65)) == expected + scalars(40) + "…(65)")
        // One Character each, and two scalars.
        #expect(try fault(scalars(33, "e\u{301}")).hasPrefix(expected))
        #expect(try fault("\t2") == expected + "nothing")
        #expect(try fault(scalars(100_000)).hasSuffix("…(100000)"))
    }

    @Test("a text has no control characters, nothing that hides or turns the writing, and no [MASK]", arguments: [
        ("甲\u{0}乙", "甲\\u{0}乙"), ("甲\r乙", "甲\\u{d}乙"), ("\u{1B}[31m", "\\u{1b}[31m"), ("甲\u{7F}", "甲\\u{7f}"), ("甲\u{85}", "甲\\u{85}"),
        ("\u{202E}甲", "\\u{202e}甲"), ("甲\u{2028}乙", "甲\\u{2028}乙"), ("[MASK]", "[MASK]"), ("今天[MASK]\u{301}好", "今天[MASK]\u{301}好"),
    ])
    func badTexts(text: String, found: String) throws {
        #expect(try read(text).faults == [.line(file: "a.txt", line: 1, expected: .text, found: found)])
        #expect(try read("甲\n\(text)\n乙").terms.map(\.text) == ["甲", "乙"])
    }

    @Test("other brackets are no [MASK]")
    func brackets() throws {
        #expect(try read("[MASK\n[mask]\n[CLS]").terms.map(\.text) == ["[MASK", "[mask]", "[CLS]"])
    }

    @Test("a domain has at most 64 scalars and no control characters")
    func domains() throws {
        #expect(try read("甲\t\t" + scalars(64)).terms == [Term(text: "甲", domain: scalars(64))])
        let expected = "a.txt, line 1: expected a domain of at most 64 visible characters, found "
        #expect(try fault("甲\t\t" + scalars(65)) == expected + scalars(40) + "…(65)")
        #expect(try fault("甲\t\t科\u{7}") == expected + "科\\u{7}")
    }

    @Test("a fourth field is a bad line, and a tab divides whatever follows it")
    func fields() throws {
        #expect(try fault("甲\t2\t科\t注") == "a.txt, line 1: expected at most 3 fields between tabs, found 4")
        #expect(try fault("甲\t\t\t") == "a.txt, line 1: expected at most 3 fields between tabs, found 4")
        #expect(try fault("甲\t\u{301}2") == "a.txt, line 1: expected a weight above 1 and at most 1000, found \u{301}2")
    }

    @Test("a line that is no UTF-8 is a fault, and the others count", arguments: [
        ([0xCC, 0xEC, 0xBF, 0xD5], "0xCC"), ([0x61, 0xFF], "0xFF"), ([0xE5, 0xA4], "0xE5"), ([0xC0, 0x80], "0xC0"),
        ([0xED, 0xA0, 0x80], "0xED"), ([0x23, 0x20, 0x80], "0x80"),
    ] as [([UInt8], String)])
    func encoding(bytes: [UInt8], found: String) throws {
        let list = try read(Array("甲\n".utf8) + bytes + Array("\r\n乙\n".utf8))
        #expect(list.terms.map(\.text) == ["甲", "乙"])
        #expect(list.faults == [.line(file: "a.txt", line: 2, expected: .utf8, found: found)])
        #expect(list.faults[0].message.en == "a.txt, line 2: expected UTF-8, found \(found)")
    }

    @Test("a fault is said in both languages, with what a machine can read and with a hint apart")
    func languages() throws {
        let fault = try #require(try read("甲\t0.5").faults.first)
        #expect(fault.text(in: .english) == """
            a.txt, line 1: expected a weight above 1 and at most 1000, found 0.5
              hint: leave the field empty for no weight
            """)
        #expect(fault.text(in: .chinese) == "a.txt 第 1 行：应为 大于 1 且不超过 1000 的权重，实为 0.5\n  提示：不需要权重时请将该栏留空")
        #expect(fault.detail == Detail(field: "a.txt:1", expected: "a weight above 1 and at most 1000", found: "0.5"))
    }
}
