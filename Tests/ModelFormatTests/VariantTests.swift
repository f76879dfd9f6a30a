import Foundation
import ModelFormat
import StrictJSON
import TestSupport
import Testing

@Suite("every variant of the family opens, and is the same version whatever its layout")
struct VariantTests {
    private let folder: TemporaryFolder
    private var path: String { folder.path + "/model" }

    init() throws { folder = try TemporaryFolder() }

    private func contents(_ change: (inout GoodModel) -> Void = { _ in }) throws -> ModelContents {
        var model = GoodModel()
        change(&model)
        try model.write(to: path)
        return try ModelContents(huggingFace: path)
    }

    private func fingerprint(_ contents: ModelContents) -> String {
        var digests: [String: Digest] = [:]
        for tensor in contents.tensors { digests[tensor.name] = tensor.digest() }
        return "\(contents.fingerprint(digests: digests))"
    }


    @Test("old names, no prefix, a stored tied decoder, extra heads and other orders do not change the fingerprint")
    func layouts() throws {
        let plain = fingerprint(try contents())
        let old = try contents { model in
            model.tensors = model.tensors.reversed().map { tensor in
                var tensor = tensor
                tensor.name = tensor.name.replacingOccurrences(of: "LayerNorm.weight", with: "LayerNorm.gamma")
                    .replacingOccurrences(of: "LayerNorm.bias", with: "LayerNorm.beta")
                if tensor.name.hasPrefix("bert.") { tensor.name.removeFirst(5) }
                return tensor
            }
            var decoder = GoodModel.standardTensors[0]
            decoder.name = "cls.predictions.decoder.weight"
            var bias = GoodModel.standardTensors[3]
            bias.name = "cls.predictions.decoder.bias"
            model.tensors += [
                decoder, bias, .init(name: "pooler.dense.bias", shape: [4], bytes: Array(repeating: 0, count: 16)),
                .init(name: "cls.seq_relationship.bias", shape: [2], bytes: Array(repeating: 0, count: 8)),
                .init(name: "embeddings.position_ids", dtype: "I64", shape: [1, 8], bytes: Array(repeating: 0, count: 64)),
            ]
        }
        #expect(old.isTied)
        #expect(fingerprint(old) == plain)
    }

    @Test("one bit of a weight, a piece or an option makes another version")
    func differences() throws {
        var seen = [fingerprint(try contents())]
        seen.append(fingerprint(try contents { $0.tensors[7].bytes[0] ^= 1 }))
        seen.append(fingerprint(try contents { $0.pieces[6] = "岸" }))
        seen.append(fingerprint(try contents { $0.tokenizerConfig = [("do_lower_case", true)] }))
        seen.append(fingerprint(try contents { $0.config[8].1 = "relu" }))
        seen.append(fingerprint(try contents { $0.config[9].1 = .real(1e-5) }))
        #expect(Set(seen).count == seen.count)
    }

    @Test("an untied decoder is a tensor of its own")
    func untied() throws {
        let contents = try contents { model in
            model.config.append(("tie_word_embeddings", false))
            model.tensors.append(.init(name: "cls.predictions.decoder.weight", shape: [7, 4], bytes: Array(repeating: 1, count: 112)))
        }
        #expect(!contents.isTied)
    }

    @Test("of an untied model's two biases the decoder's counts")
    func untiedBias() throws {
        let contents = try contents { model in
            model.config.append(("tie_word_embeddings", false))
            model.tensors.append(.init(name: "cls.predictions.decoder.weight", shape: [7, 4], bytes: Array(repeating: 1, count: 112)))
            model.tensors.append(.init(name: "cls.predictions.decoder.bias", shape: [7], bytes: Array(repeating: 2, count: 28)))
        }
        #expect(contents["cls.predictions.bias"]!.withBytes { Array($0) } == Array(repeating: 2, count: 28))
    }

    @Test("tokenizer.json serves where vocab.txt lacks; tokenizer_config.json goes over it")
    func tokenizerFile() throws {
        let model = GoodModel()
        try model.write(to: path)
        try FileManager.default.removeItem(atPath: path + "/vocab.txt")
        let vocabulary = JSON.object(model.pieces.enumerated().reversed().map { .init($1, .integer(Int64($0))) })
        let json: JSON = [
            "normalizer": ["type": "BertNormalizer", "lowercase": true, "strip_accents": true, "handle_chinese_chars": false],
            "model": ["type": "WordPiece", "vocab": vocabulary],
        ]
        try put(json.serialized, path + "/tokenizer.json")
        let contents = try ModelContents(huggingFace: path)
        #expect(contents.pieces == model.pieces)
        #expect(contents.tokenizer == TokenizerSettings(lower: false, accents: true, cjk: false))
    }

    @Test("lines end with byte 0x0A alone: a piece may contain U+2028")
    func lineSeparator() throws {
        let contents = try contents { $0.pieces[6] = "\u{2028}" }
        #expect(contents.pieces[6] == "\u{2028}")
    }

    @Test("the fixtures of the family open", arguments: ["tiny-tied", "tiny-untied-f16", "tiny-bf16-relu", "tiny-sharded", "tiny-old-names", "tiny-tokenizer-json", "tiny-capitals"])
    func fixtures(name: String) throws {
        let contents = try ModelContents(huggingFace: "\(Places.fixtures)/\(name)")
        for tensor in contents.tensors { try tensor.checkFinite() }
    }

    @Test("the default model's fingerprint is what an independent computation gives")
    func knownFingerprint() throws {
        // Tests/Fixtures/fingerprint.py, which knows nothing of this code but the format's description.
        let expected = try String(contentsOfFile: Places.fixtures + "/default-model.fingerprint", encoding: .utf8)
        #expect(fingerprint(try ModelContents(huggingFace: Places.defaultModel)) + "\n" == expected)
    }
}
