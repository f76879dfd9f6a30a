public import Disk
public import Explain
public import StrictJSON

/// Why a folder is not a model we can serve. Every case names the file, and the tensor or key where there is one.
public enum ModelFormatError: Explained, Equatable {
    case disk(DiskError)
    case json(file: String, JSONError)
    case fileMissing(folder: String, expected: String)
    /// An export would write over it.
    case fileExists(path: String)
    /// Weights in pickle, which runs code when it is read.
    case pickleOnly(folder: String)
    /// A safetensors header that is not one, or lies.
    case header(file: String, expected: String, found: String)
    case offsets(file: String, tensor: String, expected: String, found: String)
    case tensorSize(file: String, tensor: String, expected: String, found: String)
    case dtype(file: String, tensor: String, found: String)
    case shape(file: String, tensor: String, expected: [Int], found: [Int])
    case tensorMissing(file: String, tensor: String)
    case tensorUnknown(file: String, tensor: String)
    /// Two keys of the checkpoint mean the same tensor.
    case tensorTwice(file: String, tensor: String, keys: [String])
    case notFinite(file: String, tensor: String, index: Int)
    /// A key of config.json, tokenizer_config.json, tokenizer.json, an index or tiankong.json.
    case key(file: String, key: String, expected: String, found: String)
    case vocabulary(file: String, expected: String, found: String)

    public var message: Bilingual {
        func say(_ object: String, _ expected: String, _ found: String) -> Bilingual {
            Bilingual("\(object): expected \(expected), found \(found)", zh: "\(object)：应为 \(expected)，实为 \(found)")
        }
        switch self {
        case .disk(let error): return error.message
        case .json(let file, let error):
            return Bilingual("\(file): \(error.message.en)", zh: "\(file)：\(error.message.zh)")
        case .fileMissing(let folder, let expected): return say(folder, expected, "no such file")
        case .fileExists(let path): return say(path, "no such file yet", "one")
        case .pickleOnly(let folder): return say(folder, "model.safetensors", "pytorch_model.bin alone")
        case .header(let file, let expected, let found): return say(file, expected, found)
        case .offsets(let file, let tensor, let expected, let found),
            .tensorSize(let file, let tensor, let expected, let found):
            return say("\(file): tensor \(tensor)", expected, found)
        case .dtype(let file, let tensor, let found):
            return say("\(file): tensor \(tensor)", "F32, F16 or BF16", found)
        case .shape(let file, let tensor, let expected, let found):
            return say("\(file): tensor \(tensor)", "shape \(expected)", "\(found)")
        case .tensorMissing(let file, let tensor): return say(file, "tensor \(tensor)", "none of that name")
        case .tensorUnknown(let file, let tensor):
            return say("\(file): tensor \(tensor)", "a tensor of a BERT masked LM", "one that is not known")
        case .tensorTwice(let file, let tensor, let keys):
            return say("\(file): tensor \(tensor)", "one key", keys.joined(separator: " and "))
        case .notFinite(let file, let tensor, let index):
            return say("\(file): tensor \(tensor), element \(index)", "a finite number", "NaN or infinity")
        case .key(let file, let key, let expected, let found): return say("\(file): \(key)", expected, found)
        case .vocabulary(let file, let expected, let found): return say(file, expected, found)
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .disk(let error): error.hint
        case .fileMissing:
            Bilingual(
                "name a Hugging Face folder with config.json, vocab.txt and model.safetensors",
                zh: "请指定含 config.json、vocab.txt 和 model.safetensors 的 Hugging Face 目录")
        case .fileExists: Bilingual("name another folder", zh: "请另指目录")
        case .pickleOnly:
            Bilingual(
                "convert it where transformers is: BertForMaskedLM.from_pretrained(DIR).save_pretrained(DIR)",
                zh: "请在装有 transformers 的机器上转换：BertForMaskedLM.from_pretrained(DIR).save_pretrained(DIR)")
        case .header, .offsets, .tensorSize, .json:
            Bilingual("the file is damaged or not what its name says: copy it again", zh: "文件损坏或名不副实：请重新复制")
        case .notFinite: Bilingual("the training that made it went wrong", zh: "产生它的训练出了问题")
        default: nil
        }
    }

    public var detail: Detail? {
        switch self {
        case .key(_, let key, let expected, let found): Detail(field: key, expected: expected, found: found)
        case .shape(_, let tensor, let expected, let found):
            Detail(field: tensor, expected: "\(expected)", found: "\(found)")
        case .offsets(_, let tensor, let expected, let found), .tensorSize(_, let tensor, let expected, let found):
            Detail(field: tensor, expected: expected, found: found)
        default: nil
        }
    }
}
