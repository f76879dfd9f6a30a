import Disk
import StrictJSON

/// The pieces in the order of their ids, and how texts are cut: from `vocab.txt` or `tokenizer.json`, and
/// `tokenizer_config.json` over them.
struct HuggingFaceVocabulary {
    let pieces: [String]
    let settings: TokenizerSettings

    init(_ source: FileSource, count: Int) throws(ModelFormatError) {
        let tokenizer = source.has("tokenizer.json") ? try ConfigurationFile(source, "tokenizer.json") : nil
        let file: String
        if source.has("vocab.txt") {
            file = source.path("vocab.txt")
            pieces = try Self.lines(of: try source.bytes("vocab.txt"), file: file)
        } else if let tokenizer {
            file = tokenizer.path
            pieces = try Self.pieces(of: tokenizer)
        } else {
            throw .fileMissing(folder: source.place, expected: "vocab.txt or tokenizer.json")
        }
        guard pieces.count == count else {
            throw .vocabulary(
                file: file, expected: "\(count) pieces (vocab_size of config.json)", found: "\(pieces.count)")
        }
        settings = try Self.settings(source, tokenizer)
    }

    /// Lines end with byte 0x0A alone: two pieces of bert-base-chinese contain U+2028. A CR before the LF belongs to
    /// the line end, as transformers reads it.
    private static func lines(of bytes: SharedBytes, file: String) throws(ModelFormatError) -> [String] {
        let text = bytes.withBytes { [UInt8]($0) }
        var lines = text.split(separator: 0x0A, omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        var pieces: [String] = []
        pieces.reserveCapacity(lines.count)
        var seen: Set<[UInt8]> = []
        for (index, line) in lines.enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            guard let piece = String(validating: line, as: UTF8.self) else {
                throw .vocabulary(file: "\(file), line \(index + 1)", expected: "UTF-8", found: "an invalid byte")
            }
            guard seen.insert(Array(line)).inserted else {
                throw .vocabulary(
                    file: "\(file), line \(index + 1)", expected: "each piece once", found: "\"\(piece)\" again")
            }
            pieces.append(piece)
        }
        return pieces
    }

    /// `model.vocab` of a WordPiece tokenizer: piece → id, ids without holes.
    private static func pieces(of tokenizer: ConfigurationFile) throws(ModelFormatError) -> [String] {
        guard let model = tokenizer.json["model"], let members = model["vocab"]?.members else {
            throw tokenizer.wrong("model", "a WordPiece model with its vocab")
        }
        if let type = model["type"]?.string, type != "WordPiece" {
            throw .key(file: tokenizer.path, key: "model.type", expected: "WordPiece", found: type)
        }
        var pieces = [String?](repeating: nil, count: members.count)
        for member in members {
            guard let id = member.value.integer, pieces.indices.contains(id), pieces[id] == nil else {
                throw .key(
                    file: tokenizer.path, key: "model.vocab.\(member.key)",
                    expected: "an id of its own below \(members.count)", found: member.value.serialized)
            }
            pieces[id] = member.key
        }
        return pieces.map { $0! }
    }

    /// BertTokenizerFast rewrites the normalizer of tokenizer.json by its own arguments, which tokenizer_config.json
    /// holds; where a key is absent the normalizer's value stands, and without one the class's default.
    private static func settings(
        _ source: FileSource, _ tokenizer: ConfigurationFile?
    ) throws(ModelFormatError) -> TokenizerSettings {
        let normalizer = tokenizer?.json["normalizer"]
        let config =
            source.has("tokenizer_config.json") ? try ConfigurationFile(source, "tokenizer_config.json") : nil
        func bool(_ key: String, _ normalizerKey: String, _ fallback: Bool) throws(ModelFormatError) -> Bool {
            let fallback = normalizer?[normalizerKey]?.bool ?? fallback
            return try config?.bool(key, fallback: fallback) ?? fallback
        }
        var accents = normalizer?["strip_accents"]?.bool
        if let value = config?.json["strip_accents"] {
            switch value {
            case .null: accents = nil
            case .bool(let bool): accents = bool
            default: throw config!.wrong("strip_accents", "true, false or null")
            }
        }
        return TokenizerSettings(
            lower: try bool("do_lower_case", "lowercase", true), accents: accents,
            cjk: try bool("tokenize_chinese_chars", "handle_chinese_chars", true))
    }
}
