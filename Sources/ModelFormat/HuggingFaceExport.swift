public import Disk
import StrictJSON

extension ModelContents {
    /// Writes a Hugging Face folder that transformers opens and `import` reads back to the same fingerprint:
    /// config.json, vocab.txt, tokenizer_config.json, model.safetensors, and tiankong.json for what such a folder has
    /// no place for.
    ///
    /// - Parameter folder: made where it is not there; must hold no model yet.
    public func export(to folder: String, release: String, epoch: Int, line: Fingerprint, disk: Disk = Disk()) throws(ModelFormatError) {
        do {
            try disk.makeFolder(folder)
            if let there = try disk.list(folder).first(where: { Self.exported.contains($0) }) {
                throw ModelFormatError.fileExists(path: folder + "/" + there)
            }
            let weights = SafeTensorsText(exportedTensors)
            try disk.writeNew(to: folder + "/model.safetensors") { file throws(DiskError) in
                try file.write(weights.header)
                for tensor in exportedTensors { try tensor.withBytes { bytes throws(DiskError) in try file.write(bytes) } }
            }
            try disk.writeDurably(pieces.map { $0 + "\n" }.joined(), to: folder + "/vocab.txt")
            try disk.writeDurably(tokenizerJSON.indented + "\n", to: folder + "/tokenizer_config.json")
            try disk.writeDurably(ownJSON(release, epoch, line).indented + "\n", to: folder + "/tiankong.json")
            // Last: without it the folder is no model.
            try disk.writeDurably(configJSON.indented + "\n", to: folder + "/config.json")
        } catch let error as DiskError {
            throw .disk(error)
        } catch let error as ModelFormatError {
            throw error
        } catch {
            preconditionFailure("nothing else is thrown above: \(error)")
        }
    }

    private static let exported = ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors", "tiankong.json"]

    /// transformers ties the decoder's bias only where it ties its weight.
    private var exportedTensors: [StoredTensor] {
        guard !isTied, let bias = self["cls.predictions.bias"] else { return tensors }
        return tensors + [bias.named("cls.predictions.decoder.bias")]
    }

    private var configJSON: JSON {
        [
            "architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_act": .string(shape.activation.rawValue),
            "hidden_size": .integer(Int64(shape.hidden)), "intermediate_size": .integer(Int64(shape.feedForward)),
            "layer_norm_eps": .real(shape.epsilon), "max_position_embeddings": .integer(Int64(shape.positions)),
            "num_attention_heads": .integer(Int64(shape.heads)), "num_hidden_layers": .integer(Int64(shape.layers)),
            "type_vocab_size": .integer(Int64(shape.types)), "vocab_size": .integer(Int64(shape.vocabulary)),
            "hidden_dropout_prob": .real(0.1), "attention_probs_dropout_prob": .real(0.1), "initializer_range": .real(0.02),
            "pad_token_id": .integer(Int64(pieces.firstIndex(of: "[PAD]") ?? 0)), "tie_word_embeddings": .bool(isTied),
        ]
    }

    private var tokenizerJSON: JSON {
        [
            "tokenizer_class": "BertTokenizer", "do_lower_case": .bool(tokenizer.lower),
            "strip_accents": tokenizer.accents.map { .bool($0) } ?? .null, "tokenize_chinese_chars": .bool(tokenizer.cjk),
            "model_max_length": .integer(Int64(shape.positions)),
        ]
    }

    private func ownJSON(_ release: String, _ epoch: Int, _ line: Fingerprint) -> JSON {
        var members: [JSON.Member] = [
            .init("release", .string(release)), .init("epoch", .integer(Int64(epoch))), .init("line", .string("\(line)")),
        ]
        if let calibration, let json = try? JSON(parsing: calibration) { members.append(.init("calibration", json)) }
        return .object(members)
    }
}

/// The header of a safetensors file (huggingface/safetensors, README, "Format"): u64 length, JSON padded with spaces so
/// that the tensors begin at a multiple of 64.
private struct SafeTensorsText {
    let header: [UInt8]

    init(_ tensors: [StoredTensor]) {
        var members: [JSON.Member] = [.init("__metadata__", ["format": "pt"])]
        var start = 0
        for tensor in tensors {
            members.append(
                .init(
                    tensor.name,
                    [
                        "dtype": .string(tensor.dtype.rawValue), "shape": .array(tensor.shape.map { .integer(Int64($0)) }),
                        "data_offsets": [.integer(Int64(start)), .integer(Int64(start + tensor.byteCount))],
                    ]))
            start += tensor.byteCount
        }
        var text: [UInt8] = []
        JSON.object(members).write(to: &text)
        while !(text.count + 8).isMultiple(of: 64) { text.append(0x20) }
        header = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
    }
}
