import Ledger
import Testing

@Suite("the scrubber")
struct ScrubberTests {
    @Test("what could tell who somebody is goes, and the text keeps its shape", arguments: [
        // Telephones.
        ("请打13812345678找我", "请打00000000000找我", [Scrubber.Kind.number]),
        ("请打138 1234 5678找我", "请打000 0000 0000找我", [.number]),
        ("请打138-1234-5678找我", "请打000-0000-0000找我", [.number]),
        ("+86 138 1234 5678", "+00 000 0000 0000", [.number]),
        ("010-88886666转801", "000-00000000转801", [.number]),
        ("(010)88886666", "(000)00000000", [.number]),
        ("400 820 8820", "000 000 0000", [.number]),
        // Identity cards, with X at the end too.
        ("身份证11010519491231002X号", "身份证00000000000000000x号", [.number]),
        ("身份证110105194912310028号", "身份证000000000000000000号", [.number]),
        ("11010519491231002x", "00000000000000000x", [.number]),
        // Bank cards, passports.
        ("6222 0210 0112 3456 789", "0000 0000 0000 0000 000", [.number]),
        ("6222021001123456789", "0000000000000000000", [.number]),
        ("护照E12345678", "护照x00000000", [.number]),
        // Full-width digits.
        ("电话１３８１２３４５６７８", "电话00000000000", [.number]),
        ("电话１３８－１２３４－５６７８", "电话000－0000－0000", [.number]),
        // Mail and addresses.
        ("写给zhang.san@example.com吧", "写给xxxxx.xxx@xxxxxxx.xxx吧", [.mail]),
        ("a+b_c@mail.example.cn", "x+x_x@xxxx.xxxxxxx.xx", [.mail]),
        ("ｌｉ＠example.com", "xx＠xxxxxxx.xxx", [.mail]),
        ("见https://example.com/a?b=c1#d。", "见xxxxx://xxxxxxx.xxx/x?x=x0#x。", [.address]),
        ("见http://10.0.0.1:8080/x", "见xxxx://00.0.0.0:0000/x", [.address]),
        ("见www.example.com/1", "见xxx.xxxxxxx.xxx/0", [.address]),
        // Number plates.
        ("京A12345", "京x00000", [.number]), ("粤BF0236", "粤xx0000", [.plate]), ("京AD12345", "京xx00000", [.number]),
        ("粤B·F0236", "粤x·x0000", [.plate]),
        // Written as people write them.
        ("(138)(1234)(5678)", "(000)(0000)(0000)", [.number]), ("138–1234–5678", "000–0000–0000", [.number]),
        ("看www.zhangsan.cn", "看xxx.xxxxxxxx.xx", [.address]),
        // Several.
        ("13812345678或a@b.cn", "00000000000或x@x.xx", [.number, .mail]),
    ])
    func taken(text: String, expected: String, kinds: [Scrubber.Kind]) {
        let scrubbed = Scrubber.scrub(text)
        #expect(scrubbed.text == expected)
        #expect(scrubbed.found == kinds)
    }

    @Test("years, prices, quantities, names of things and blanks stay", arguments: [
        "1949年10月1日", "2026年", "原价1999元，现价899元", "99.9元", "3.5%", "110", "第3个", "120人", "1/3", "24小时", "10:30",
        "[MASK]", "今天天气[MASK][MASK]。", "第[MASK]名", "[MASK]2026[MASK]", "COVID-19", "RTX4090", "ISO9001", "GB2312", "PD-L1", "C++17", "H1N1", "5G", "B站", "T恤", "4K", "HDMI2.1", "iPhone 15",
        "www", "天空", "", " ", "a", "1", "e=mc2", "and/or", "上海/北京", "他说：“好。”", "12 34",
    ])
    func kept(text: String) {
        let scrubbed = Scrubber.scrub(text)
        #expect(scrubbed.text == text && scrubbed.found == [])
    }

    @Test("a blank beside what is taken out stays a blank", arguments: [
        ("[MASK]13812345678[MASK]", "[MASK]00000000000[MASK]"), ("a@b.cn[MASK]", "x@x.xx[MASK]"), ("138 1234 5678 [MASK]", "000 0000 0000 [MASK]"),
        ("[MASK]@b.cn", "[MASK]@b.cn"), ("https://[MASK].com/12345", "https://[MASK].xxx/00000"),
    ])
    func beside(text: String, expected: String) {
        #expect(Scrubber.scrub(text).text == expected)
    }

    @Test("whatever the text: blanks are kept, no scalar is added, twice is once, and no five digits in a row survive")
    func properties() {
        var random = Random(state: 2026)
        let parts = [
            "[MASK]", "1", "7", "13812345678", "138 ", "-1234", " 5678", "@", ".", "/", ":", "//", "https://", "www.", "a", "Zz", "X", "京A", "12345", "１２３４５",
            "＠", "－", " ", "  ", "　", "，", "。", "天", "气", "é", "e\u{301}", "👩‍👩‍👧", "\n", "\u{0}", "+86", "_", "?", "=", "&", "#", "%", "[", "]", "MASK", "0", "00000", "9.99",
            "\u{FEFF}", "\u{10FFFF}",
        ]
        for _ in 0..<30_000 {
            let text = (0..<Int(random.next() % 14)).map { _ in parts[Int(random.next() % UInt64(parts.count))] }.joined()
            let scrubbed = Scrubber.scrub(text)
            let note: Comment = "\(text.debugDescription) → \(scrubbed.text.debugDescription)"
            #expect(scrubbed.text.components(of: "[MASK]") == text.components(of: "[MASK]"), note)
            #expect(scrubbed.text.unicodeScalars.count <= text.unicodeScalars.count && scrubbed.text.utf8.count <= text.utf8.count, note)
            #expect(Scrubber.scrub(scrubbed.text).text == scrubbed.text, note)
            #expect(scrubbed.found.isEmpty == (Scrubber.scrub(text).found == []), note)
            #expect(longestNumber(scrubbed.text) < 5, note)
            if scrubbed.found == [] { #expect(scrubbed.text == text, note) }
        }
    }

    /// Of digits that are not 0, in a row.
    private func longestNumber(_ text: String) -> Int {
        var (run, longest) = (0, 0)
        for scalar in text.unicodeScalars {
            let isDigit = ("1"..."9").contains(scalar) || (0xFF11...0xFF19).contains(scalar.value)
            run = isDigit ? run + 1 : 0
            longest = max(longest, run)
        }
        return longest
    }

    private struct Random {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
    }
}

extension String {
    /// How often it has a part.
    fileprivate func components(of part: String) -> Int {
        let (all, part) = (Array(unicodeScalars), Array(part.unicodeScalars))
        guard all.count >= part.count else { return 0 }
        return (0...all.count - part.count).count { Array(all[$0..<$0 + part.count]) == part }
    }
}
