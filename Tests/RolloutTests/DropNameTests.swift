import Rollout
import Testing

@Suite("names in the drop folder")
struct DropNameTests {
    private func isStrange(_ name: String) -> Bool { if case .strange = DropName(name) { true } else { false } }

    @Test("names that a patch may have", arguments: [
        "a.tkp.zst", "v1.2_3+4-5.tkp.zst", "春风.tkp.zst", "㐀𠀀.tkp.zst", "a.tkp.zst.tkp.zst", "-.tkp.zst", "+.tkp.zst", "0.tkp.zst",
        "a...tkp.zst", "a.part.tkp.zst", "a.tmp.tkp.zst", "a.status.json.tkp.zst",
    ])
    func good(name: String) { #expect(DropName(name) == .patch) }

    @Test("temporary names of rsync and others, hidden files and receipts are never spoken of", arguments: [
        ".a.tkp.zst.Ab12Cd", ".~tmp~", ".a.tkp.zst", ".tkp.zst", "a.tkp.zst.part", "a.tkp.zst.partial", "a.tkp.zst.tmp", "a.tkp.zst~",
        "a.tkp.zst.status.json", "春风.tkp.zst.status.json", ".a.tkp.zst.status.json.123.tmp", "../x.tkp.zst", "..", ".", "~", "x.part",
        "notes.status.json",
    ])
    func unspoken(name: String) { #expect(DropName(name) == .unspoken) }

    @Test("other names are left alone", arguments: [
        "a.zst", "a.tkp", "tkp.zst", "a.tkp.zst.bak", "a.TKP.ZST", "a.tkp.zst ", "readme.txt", "", "a.tkp.zst.1",
        "a b.tkp.zst", " a.tkp.zst", "a/b.tkp.zst", "a/../b.tkp.zst", "a\\b.tkp.zst", "a\n.tkp.zst", "a\t.tkp.zst", "a\u{7F}.tkp.zst",
        "a\u{0}.tkp.zst", "a\u{1B}[31m.tkp.zst", "é.tkp.zst", "ａ.tkp.zst", "あ.tkp.zst", "가.tkp.zst", "春\u{FE00}.tkp.zst", "\u{202E}a.tkp.zst",
        "\u{FFFD}.tkp.zst", "😀.tkp.zst", "a:b.tkp.zst", "a*.tkp.zst", "$(x).tkp.zst", "<b>.tkp.zst", "，.tkp.zst", "\u{FEFF}a.tkp.zst",
    ])
    func strange(name: String) { #expect(isStrange(name)) }

    @Test("200 bytes are a name, 201 are not, in letters as in 汉字")
    func length() {
        #expect(DropName(String(repeating: "a", count: 192) + ".tkp.zst") == .patch)
        #expect(DropName(String(repeating: "a", count: 193) + ".tkp.zst") == .strange(expected: "a name of at most 200 bytes"))
        #expect(DropName(String(repeating: "字", count: 64) + ".tkp.zst") == .patch)
        #expect(DropName(String(repeating: "字", count: 64) + "a.tkp.zst") == .strange(expected: "a name of at most 200 bytes"))
        #expect(isStrange(String(repeating: "字", count: 82) + ".tkp.zst"))
    }

    @Test("the edges of what counts as 汉字")
    func edges() {
        for scalar in ["\u{3400}", "\u{4DBF}", "\u{4E00}", "\u{9FFF}", "\u{20000}", "\u{323AF}"] { #expect(DropName(scalar + ".tkp.zst") == .patch) }
        for scalar in ["\u{33FF}", "\u{4DC0}", "\u{A000}", "\u{F900}", "\u{1FFFF}", "\u{323B0}"] { #expect(isStrange(scalar + ".tkp.zst")) }
    }

    @Test("control characters, every one of them")
    func controls() {
        for value in Array(0...0x1F) + [0x7F] + Array(0x80...0x9F) { #expect(isStrange("a\(Unicode.Scalar(UInt32(value))!)b.tkp.zst"), "\(value)") }
    }
}
