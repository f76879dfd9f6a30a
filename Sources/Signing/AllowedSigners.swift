/// Who may sign, as ssh-keygen(1), section ALLOWED SIGNERS, writes it; a line each:
///
///     PRINCIPALS [OPTIONS] KEYTYPE BASE64 [COMMENT]
///
/// OPTIONS: `namespaces="…"`, `valid-after="…"`, `valid-before="…"`, `cert-authority`; names in any case, joined by
/// commas, each at most once. Times are `YYYYMMDD[Z]` or `YYYYMMDDHHMM[SS][Z]`, local without Z. Keys of other kinds
/// than ssh-ed25519 and certificate authorities cannot have signed a patch and are passed over; a line that cannot be
/// read refuses the file, for a trust list that is half read is worse than none.
public struct AllowedSigners: Sendable {
    struct Signer: Sendable {
        let principals: [String]
        let namespaces: [String]?
        /// Seconds since 1970; the key is valid at both of them.
        let validAfter: Int?
        let validBefore: Int?
        let key: SSHPublicKey
    }

    let signers: [Signer]

    /// - Parameter file: its name, for messages.
    public init(_ text: String, file: String) throws(SigningError) {
        var signers: [Signer] = []
        // By bytes: CR and LF are one Character, which is not "\n", and the whole file would be one line.
        let lines = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        for (index, line) in lines.map(Substring.init).enumerated() {
            let line = line.trimmed
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            do { if let signer = try SignerLine(line).signer { signers.append(signer) } } catch {
                throw .allowedSigners(file: file, line: index + 1, expected: error.expected, found: error.found)
            }
        }
        self.signers = signers
    }

    /// The principal that this key signs as, now and in this namespace.
    ///
    /// - Parameter now: seconds since 1970.
    /// - Throws: `.unknownSigner`, `.namespace`, `.notValidYet`, `.notValidAnyMore`.
    public func principal(of key: SSHPublicKey, namespace: String, now: Int) throws(SigningError) -> String {
        var refusal = SigningError.unknownSigner(key: "\(key)")
        for signer in signers where signer.key == key {
            let name = signer.principals.first { !$0.hasPrefix("!") } ?? "?"
            if let namespaces = signer.namespaces, !Pattern.list(namespaces, matches: namespace) {
                refusal = .namespace(signer: name, expected: namespaces.joined(separator: ","), found: namespace)
            } else if let after = signer.validAfter, now < after {
                refusal = .notValidYet(signer: name)
            } else if let before = signer.validBefore, now > before {
                refusal = .notValidAnyMore(signer: name)
            } else {
                return name
            }
        }
        throw refusal
    }
}

/// ssh_config(5)'s patterns: `*` and `?`; a list matches when one does and none with `!` before it.
enum Pattern {
    static func list(_ patterns: [String], matches text: String) -> Bool {
        var hit = false
        for pattern in patterns {
            if pattern.hasPrefix("!") {
                if one(Array(pattern.dropFirst().utf8)[...], Array(text.utf8)[...]) { return false }
            } else if one(Array(pattern.utf8)[...], Array(text.utf8)[...]) {
                hit = true
            }
        }
        return hit
    }

    private static func one(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        // The place to come back to is the last `*`: linear but for that, and never recursive.
        var (p, t) = (pattern.startIndex, text.startIndex)
        var star: (p: Int, t: Int)?
        while t < text.endIndex {
            if p < pattern.endIndex, pattern[p] == UInt8(ascii: "*") {
                star = (p, t)
                p += 1
            } else if p < pattern.endIndex, pattern[p] == UInt8(ascii: "?") || pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let last = star {
                p = last.p + 1
                t = last.t + 1
                star = (last.p, t)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
