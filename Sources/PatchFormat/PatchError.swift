public import Disk
public import Explain
public import ModelFormat
public import Signing
public import StrictJSON

/// Why a file is no patch that may be applied. Nothing here speaks of what is live: that is the chain's business.
public enum PatchError: Explained, Equatable {
    case disk(DiskError)
    case signing(SigningError)
    case format(ModelFormatError)
    /// Fewer bytes than the header announces: it may still be coming.
    case incomplete(file: String, expected: Int, found: Int)
    case header(file: String, expected: String, found: String)
    case trailing(file: String, expected: Int, found: Int)
    case unsigned(file: String)
    case manifestJSON(file: String, JSONError)
    case manifest(file: String, key: String, expected: String, found: String)
    /// A frame's bytes are not those that were signed.
    case frameDigest(file: String, tensor: String)
    /// They are, and do not hold what the manifest says.
    case frame(file: String, tensor: String, expected: String, found: String)
    /// A frame that does not fit the base it is for.
    case base(tensor: String, expected: String, found: String)
    /// What the merge made is not what was signed.
    case result(tensor: String, expected: String, found: String)
    case fingerprint(expected: String, found: String)
    /// Two checkpoints between which no patch can lead.
    case unlike(what: String, base: String, target: String)
    case nothingChanged

    /// Whether the fault lies in what is signed, so that no better copy and no other signature can mend it: this identity
    /// has ended. A fault of the transport, of trust or of this machine's disk says nothing of the patch itself.
    public var endsIdentity: Bool {
        switch self {
        case .manifestJSON, .manifest, .frame, .base, .result, .fingerprint, .format(.notFinite): true
        case .disk, .signing, .format, .incomplete, .header, .trailing, .unsigned, .frameDigest, .unlike, .nothingChanged: false
        }
    }

    public var message: Bilingual {
        func say(_ object: String, _ expected: String, _ found: String) -> Bilingual {
            Bilingual("\(object): expected \(expected), found \(found)", zh: "\(object)：应为 \(expected)，实为 \(found)")
        }
        switch self {
        case .disk(let error): return error.message
        case .signing(let error): return error.message
        case .format(let error): return error.message
        case .incomplete(let file, let expected, let found), .trailing(let file, let expected, let found):
            return say(file, "\(expected) bytes", "\(found)")
        case .header(let file, let expected, let found): return say(file, expected, found)
        case .unsigned(let file): return say(file, "a signature", "none")
        case .manifestJSON(let file, let error):
            return Bilingual("\(file): manifest: \(error.message.en)", zh: "\(file)：清单：\(error.message.zh)")
        case .manifest(let file, let key, let expected, let found): 
            return say("\(file): manifest" + (key.isEmpty ? "" : ": \(key)"), expected, found)
        case .frameDigest(let file, let tensor):
            return say("\(file): frame of \(tensor)", "the signed digest", "another one")
        case .frame(let file, let tensor, let expected, let found): return say("\(file): frame of \(tensor)", expected, found)
        case .base(let tensor, let expected, let found): return say("base: \(tensor)", expected, found)
        case .result(let tensor, let expected, let found): return say("merged \(tensor)", expected, found)
        case .fingerprint(let expected, let found): return say("merged version", "fingerprint \(expected)", found)
        case .unlike(let what, let base, let target): return say("target: \(what)", "\(base) as in the base", target)
        case .nothingChanged:
            return Bilingual("target: expected a difference from the base, found none", zh: "目标与基准没有差别")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .disk(let error): error.hint
        case .signing(let error): error.hint
        case .format(let error): error.hint
        case .incomplete: Bilingual("it is still being copied, or the copy broke off: copy it again", zh: "仍在复制，或复制中断：请重新复制")
        case .unsigned: Bilingual("tiankong patch sign FILE --key KEY", zh: "tiankong patch sign 文件 --key 密钥")
        case .frameDigest, .trailing:
            Bilingual("the copy is damaged: copy the file again, from where it was signed", zh: "文件在复制中损坏：请从签名处重新复制")
        case .manifestJSON, .manifest, .frame, .base, .result, .fingerprint:
            Bilingual("it was signed so, and no copy of it is better: make the patch again", zh: "签名时即如此，重新复制无济于事：请重新制作补丁")
        case .unlike: Bilingual("import the target as a version of its own", zh: "请将目标作为单独的版本导入")
        default: nil
        }
    }

    public var detail: Detail? {
        switch self {
        case .manifest(_, let key, let expected, let found): Detail(field: key, expected: expected, found: found)
        case .frame(_, let tensor, let expected, let found), .base(let tensor, let expected, let found),
            .result(let tensor, let expected, let found):
            Detail(field: tensor, expected: expected, found: found)
        case .fingerprint(let expected, let found): Detail(field: "fingerprint", expected: expected, found: found)
        default: nil
        }
    }
}
