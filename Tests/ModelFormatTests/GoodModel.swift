import Foundation
import StrictJSON

/// A tiny model written byte by byte, to be spoiled by a test in one respect.
struct GoodModel {
    struct Tensor {
        var name: String
        var dtype = "F32"
        var shape: [Int]
        var bytes: [UInt8]
    }

    /// Shape: 1 layer, hidden 4, 2 heads, feed-forward 6, 8 positions, 2 types, 7 pieces.
    var config: [(String, JSON)] = [
        ("model_type", "bert"), ("vocab_size", 7), ("hidden_size", 4), ("num_hidden_layers", 1),
        ("num_attention_heads", 2), ("intermediate_size", 6), ("max_position_embeddings", 8), ("type_vocab_size", 2),
        ("hidden_act", "gelu"), ("layer_norm_eps", .real(1e-12)),
    ]
    var pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "春", "风"]
    var tokenizerConfig: [(String, JSON)]? = [("do_lower_case", false)]
    var tensors: [Tensor] = GoodModel.standardTensors

    static var standardTensors: [Tensor] {
        var shapes: [(String, [Int])] = [
            ("bert.embeddings.word_embeddings.weight", [7, 4]), ("bert.embeddings.position_embeddings.weight", [8, 4]),
            ("bert.embeddings.token_type_embeddings.weight", [2, 4]), ("cls.predictions.bias", [7]),
        ]
        func both(_ name: String, _ outputs: Int, _ inputs: Int?) {
            shapes.append((name + ".weight", inputs.map { [outputs, $0] } ?? [outputs]))
            shapes.append((name + ".bias", [outputs]))
        }
        both("bert.embeddings.LayerNorm", 4, nil)
        for part in ["query", "key", "value"] { both("bert.encoder.layer.0.attention.self." + part, 4, 4) }
        both("bert.encoder.layer.0.attention.output.dense", 4, 4)
        both("bert.encoder.layer.0.attention.output.LayerNorm", 4, nil)
        both("bert.encoder.layer.0.intermediate.dense", 6, 4)
        both("bert.encoder.layer.0.output.dense", 4, 6)
        both("bert.encoder.layer.0.output.LayerNorm", 4, nil)
        both("cls.predictions.transform.dense", 4, 4)
        both("cls.predictions.transform.LayerNorm", 4, nil)
        return shapes.enumerated().map { index, entry in
            let count = entry.1.reduce(1, *)
            let floats = (0..<count).map { Float(index * 100 + $0) / 1024 }
            return Tensor(name: entry.0, shape: entry.1, bytes: floats.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) })
        }
    }

    mutating func change(_ name: String, _ body: (inout Tensor) -> Void) {
        body(&tensors[tensors.firstIndex { $0.name == name }!])
    }

    // MARK: - Files

    /// The safetensors file; `header` may be changed before it is written.
    static func safetensors(_ tensors: [Tensor], header change: (inout [(String, JSON)]) -> Void = { _ in }) -> [UInt8] {
        var entries: [(String, JSON)] = [("__metadata__", ["format": "pt"])]
        var data: [UInt8] = []
        for tensor in tensors {
            let end = data.count + tensor.bytes.count
            entries.append((tensor.name, .entry(tensor.dtype, tensor.shape, data.count, end)))
            data += tensor.bytes
        }
        change(&entries)
        return file(header: JSON.object(entries.map { .init($0.0, $0.1) }).serialized, data: data)
    }

    static func file(header: String, data: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + header.utf8 + data
    }

    func write(to folder: String, weights: Bool = true) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try put(JSON.object(config.map { .init($0.0, $0.1) }).serialized, folder + "/config.json")
        try put(pieces.map { $0 + "\n" }.joined(), folder + "/vocab.txt")
        if let tokenizerConfig {
            try put(JSON.object(tokenizerConfig.map { .init($0.0, $0.1) }).serialized, folder + "/tokenizer_config.json")
        }
        if weights { try put(Self.safetensors(tensors), folder + "/model.safetensors") }
    }
}

func put(_ text: String, _ path: String) throws { try put(Array(text.utf8), path) }

func put(_ bytes: [UInt8], _ path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

extension JSON {
    static func entry(_ dtype: String, _ shape: [Int], _ begin: Int, _ end: Int) -> JSON {
        [
            "dtype": .string(dtype), "shape": .array(shape.map { .integer(Int64($0)) }),
            "data_offsets": [.integer(Int64(begin)), .integer(Int64(end))],
        ]
    }
}
