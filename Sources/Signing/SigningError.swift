public import Explain

public enum SigningError: Explained, Equatable {
    case signature(expected: String, found: String)
    case key(file: String, expected: String, found: String)
    case encryptedKey(file: String)
    case allowedSigners(file: String, line: Int, expected: String, found: String)
    /// The bytes were changed after signing, or signed by another key than the signature says.
    case wrongSignature(key: String)
    case unknownSigner(key: String)
    case namespace(signer: String, expected: String, found: String)
    case notValidYet(signer: String)
    case notValidAnyMore(signer: String)

    public var message: Bilingual {
        func say(_ object: String, _ expected: String, _ found: String) -> Bilingual {
            Bilingual("\(object): expected \(expected), found \(found)", zh: "\(object)：应为 \(expected)，实为 \(found)")
        }
        switch self {
        case .signature(let expected, let found): return say("signature", expected, found)
        case .key(let file, let expected, let found): return say(file, expected, found)
        case .encryptedKey(let file): return say(file, "a key without a passphrase", "an encrypted one")
        case .allowedSigners(let file, let line, let expected, let found): return say("\(file), line \(line)", expected, found)
        case .wrongSignature(let key):
            return Bilingual("signature: it is not of these bytes by \(key)", zh: "签名：不是 \(key) 对这些字节的签名")
        case .unknownSigner(let key): return say("signer", "a key of allowed_signers", key)
        case .namespace(let signer, let expected, let found): return say("signer \(signer): namespace", expected, found)
        case .notValidYet(let signer):
            return Bilingual("signer \(signer): the key is not valid yet", zh: "签名者 \(signer)：密钥尚未生效")
        case .notValidAnyMore(let signer):
            return Bilingual("signer \(signer): the key is not valid any more", zh: "签名者 \(signer)：密钥已过期")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .encryptedKey:
            Bilingual(
                "tiankong patch inspect F --manifest > m; ssh-keygen -Y sign -n tiankong-patch -f KEY m; tiankong patch sign F --signature m.sig",
                zh: "tiankong patch inspect F --manifest > m；ssh-keygen -Y sign -n tiankong-patch -f KEY m；tiankong patch sign F --signature m.sig")
        case .unknownSigner: Bilingual("add the key to allowed_signers, if you trust it", zh: "若信任该密钥，请将其加入 allowed_signers")
        case .wrongSignature: Bilingual("copy the file again, from where it was signed", zh: "请从签名处重新复制")
        default: nil
        }
    }
}
