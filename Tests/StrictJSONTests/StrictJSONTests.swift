import StrictJSON
import Testing

@Suite("JSON is read strictly")
struct StrictJSONTests {
    private func parse(_ text: String) throws(JSONError) -> JSON { try JSON(parsing: text.utf8) }

    @Test(
        "what is written is what was read",
        arguments: [
            "null", "true", "[]", "{}", "[1,-2,0.5]", #"{"a":{"b":[null,false]}}"#, #""\"\\\n\t""#, #""填空𠮷""#,
            "-9223372036854775808",
        ])
    func roundTrip(text: String) throws {
        #expect(try parse(text).serialized == text)
    }

    @Test("escapes are undone, pairs of surrogates joined")
    func escapes() throws {
        #expect(try parse(#""\u586b\u7a7a\ud842\udfb7\/\b\f""#).string == "填空𠮷/\u{08}\u{0C}")
    }

    @Test("keys that are canonically equivalent stay apart, equal ones are refused")
    func keys() throws {
        let json = try parse("{\"\u{AC00}\":1,\"\u{1100}\u{1161}\":2}")
        #expect(json["\u{AC00}"]?.integer == 1)
        #expect(json["\u{1100}\u{1161}"]?.integer == 2)
        #expect(throws: JSONError.duplicateKey("a", offset: 7)) { try parse(#"{"a":1,"a":2}"#) }
        let many = (0..<100).map { "\"k\($0)\":1" }.joined(separator: ",")
        #expect(throws: (any Error).self) { try parse("{\(many),\"k57\":1}") }
    }

    @Test(
        "what is not JSON is refused",
        arguments: [
            "", " ", "nul", "tru", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "1.", ".5", "+1", "1e", "--1", "NaN",
            "Infinity", "\"", "\"\\x\"", "\"\\u12\"", "'a'", "[1 2]", "{\"a\":1,}", "1 2", "[", "{", "// c\n1",
            "\u{FEFF}1", "1e400",
        ])
    func refused(text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test("half a surrogate pair is refused", arguments: [#""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\ud800x""#])
    func loneSurrogates(text: String) {
        #expect(throws: JSONError.loneSurrogate(offset: 1)) { try parse(text) }
    }

    @Test("control characters and bytes that are no UTF-8 are refused")
    func bytes() {
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0x00, 0x22]) }
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0x0A, 0x22]) }
        #expect(throws: JSONError.invalidUTF8(offset: 1)) { try JSON(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0x5C, 0x6E, 0xC0, 0x80, 0x22]) }
    }

    @Test("nesting is bounded")
    func depth() throws {
        _ = try parse(String(repeating: "[", count: 64) + String(repeating: "]", count: 64))
        #expect(throws: JSONError.tooDeep(limit: 64, offset: 64)) {
            try parse(String(repeating: "[", count: 100_000))
        }
    }

    @Test("20 000 mutations of a request never crash")
    func mutations() {
        var random = SeededRandom(seed: 11)
        let good = Array(#"{"text":"春风又绿江南[MASK]","top_k":5,"targets":["岸","\u5cb8"],"temperature":1.5e0}"#.utf8)
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[at] = .random(in: 0...255, using: &random)
                case 1: bytes.remove(at: at)
                default: bytes.insert(contentsOf: bytes[at...].prefix(5), at: at)
                }
            }
            _ = try? JSON(parsing: bytes)
        }
    }
}

/// SplitMix64: the same mutations in every run.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
