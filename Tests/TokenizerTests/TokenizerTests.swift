import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizer

@Suite("texts are cut as the reference cuts them")
struct TokenizerTests {
    private static func vocabulary(_ path: String) throws -> Vocabulary {
        let lines = try Data(contentsOf: URL(fileURLWithPath: path)).split(separator: 0x0A, omittingEmptySubsequences: false)
        return try Vocabulary(pieces: lines.dropLast().map { String(decoding: $0, as: UTF8.self) })
    }

    private func check(_ path: String, vocabulary: Vocabulary) throws {
        let lines = try objects(in: path)
        #expect(lines.count > 100)
        for line in lines {
            let text = line["text"]!.string!
            let options = TokenizerOptions(
                lowercase: line["lower"]!.bool!, stripAccents: line["strip_accents"]?.bool,
                splitChinese: line["tokenize_chinese_chars"]?.bool ?? true)
            let encoding = try Tokenizer(vocabulary: vocabulary, options: options).encode(text, folding: .never)
            let offsets = line["offsets"]!.elements!.map { $0.elements!.map { Int32($0.integer!) } }
            #expect(encoding.ids == line["ids"]!.elements!.map { Int32($0.integer!) }, "\(line.serialized.prefix(200))")
            #expect(encoding.starts == offsets.map { $0[0] }, "\(line.serialized.prefix(200))")
            #expect(encoding.ends == offsets.map { $0[1] }, "\(line.serialized.prefix(200))")
        }
    }

    @Test("our own texts, with the default model's vocabulary")
    func fixtures() throws {
        try check(
            Places.fixtures + "/tokens.jsonl", vocabulary: try Self.vocabulary(Places.defaultModel + "/vocab.txt"))
    }

    @Test("the golden texts, with bert-base-chinese's vocabulary", .enabled(if: Places.golden != nil, "TIANKONG_GOLDEN is not set"))
    func golden() throws {
        try check(
            Places.golden! + "/tokens.jsonl", vocabulary: try Self.vocabulary(Places.golden! + "/tiny-tied/vocab.txt"))
    }

    private let small = try! Vocabulary(
        pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "春", "pd", "-", "l", "##1", "1", "a", "##b", "abc", "é", "가", "\u{1100}\u{1161}"])

    @Test("where the vocabulary has no capitals, Latin letters are folded unless told otherwise")
    func folding() throws {
        let tokenizer = Tokenizer(vocabulary: small, options: TokenizerOptions(lowercase: false))
        func pieces(_ text: String, _ folding: CaseFolding) throws -> [String] {
            try tokenizer.encode(text, folding: folding).ids.dropFirst().dropLast().map { small[Int($0)] }
        }
        #expect(try pieces("PD-L1", .auto) == ["pd", "-", "l", "##1"])
        #expect(try pieces("PD-L1", .never) == ["[UNK]", "-", "[UNK]"])
        #expect(try pieces("ABC春[MASK]É", .always) == ["abc", "春", "[MASK]", "é"])
        #expect(try pieces("[mask]", .auto).contains("[MASK]") == false)
    }

    @Test("a vocabulary with capitals of its own is not folded by itself")
    func capitals() throws {
        let vocabulary = try Vocabulary(pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "PD", "pd"])
        #expect(vocabulary.hasLatinCapitals)
        #expect(!small.hasLatinCapitals)
        let tokenizer = Tokenizer(vocabulary: vocabulary, options: TokenizerOptions(lowercase: false))
        #expect(try tokenizer.encode("PD").ids == [2, 5, 3])
        #expect(try tokenizer.encode("PD", folding: .always).ids == [2, 6, 3])
    }

    @Test("pieces that are canonically equivalent stay apart")
    func equivalence() {
        #expect(small.id(of: "가") == 15)
        #expect(small.id(of: "\u{1100}\u{1161}") == 16)
        #expect(small.id(of: "e\u{301}") == nil)
    }

    @Test("a vocabulary that lacks a special piece, or has one twice, is refused by its name")
    func vocabularies() {
        #expect(throws: TokenizerError.pieceMissing("[MASK]")) {
            try Vocabulary(pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
        }
        #expect(throws: TokenizerError.pieceTwice("一", first: 5, second: 6)) {
            try Vocabulary(pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "一", "一"])
        }
    }

    @Test("an over-long text says how many tokens it has and where the limit falls")
    func tooLong() throws {
        let tokenizer = Tokenizer(vocabulary: small, options: TokenizerOptions(lowercase: false))
        let text = "👍 " + String(repeating: "春", count: 20)
        #expect(throws: TokenizerError.textTooLong(tokens: 23, limit: 10, offset: 9)) {
            try tokenizer.encode(text, limit: 10)
        }
        #expect(try tokenizer.encode(text, limit: 23).ids.count == 23)
    }

    @Test("a megabyte of text is counted, not kept")
    func megabyte() throws {
        let tokenizer = Tokenizer(vocabulary: small, options: TokenizerOptions(lowercase: true))
        #expect(throws: TokenizerError.textTooLong(tokens: 350_002, limit: 512, offset: 510)) {
            try tokenizer.encode(String(repeating: "春", count: 350_000), limit: 512)
        }
        #expect(try tokenizer.encode(String(repeating: "x", count: 1_000_000), limit: 512).ids == [2, 1, 3])
    }

    @Test("20 000 random texts: offsets rise, lie inside, and nothing crashes")
    func randomTexts() throws {
        var random = SystemRandomNumberGenerator()
        let alphabets: [ClosedRange<UInt32>] = [0x20...0x7E, 0x4E00...0x4E40, 0x300...0x36F, 0xAC00...0xD7A3, 0...0x2FFF, 0...0xD7FF, 0xE000...0x10FFFF]
        let tokenizers = [true, false].map { Tokenizer(vocabulary: small, options: TokenizerOptions(lowercase: $0)) }
        for _ in 0..<20_000 {
            var text = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 0...40, using: &random) {
                let alphabet = alphabets.randomElement(using: &random)!
                if let scalar = Unicode.Scalar(UInt32.random(in: alphabet, using: &random)) { text.append(scalar) }
            }
            for tokenizer in tokenizers {
                let encoding = try tokenizer.encode(String(text))
                let inner = 1..<encoding.ids.count - 1
                for index in inner {
                    #expect(encoding.starts[index] <= encoding.ends[index] && encoding.ends[index] <= text.count)
                    if index > 1 { #expect(encoding.starts[index] >= encoding.starts[index - 1]) }
                }
            }
        }
    }
}
