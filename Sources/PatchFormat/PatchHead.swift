public import ModelFormat
public import Signing

/// Whose patches count.
public enum Trust: Sendable {
    /// Those signed by a key of the list that is valid at that time (seconds since 1970).
    case signers(AllowedSigners, now: Int)
    /// The same, and unsigned ones (`trust.unsigned: allow`, for development).
    case signersOrUnsigned(AllowedSigners, now: Int)
    /// Whoever made it: to look into a file, never to apply it.
    case nobodyAsked
}

/// The first frame of a patch or an order: all that says what it is, without the tensors.
///
/// The order of looking is the safety: header and length, signature over the manifest's bytes, and only then the
/// manifest.
public struct PatchHead: Sendable {
    public static let namespace = "tiankong-patch"

    public let name: String
    public let header: PatchHeader
    /// What is signed.
    public let manifestBytes: [UInt8]
    public let signatureBytes: [UInt8]

    /// - Parameters:
    ///   - bytes: the file's beginning: `PatchHeader(…).framesStart` bytes, which the first 36 tell; more are passed over.
    ///   - name: the file's, for messages.
    /// - Throws: `.incomplete` for fewer bytes, `.header`.
    public init(_ bytes: [UInt8], name: String) throws(PatchError) {
        let header = try PatchHeader(bytes.prefix(PatchHeader.size), file: name)
        guard bytes.count >= header.framesStart else {
            throw .incomplete(file: name, expected: header.framesStart, found: bytes.count)
        }
        let signatureStart = PatchHeader.size + header.manifest
        self.name = name
        self.header = header
        manifestBytes = Array(bytes[PatchHeader.size..<signatureStart])
        signatureBytes = Array(bytes[signatureStart..<header.framesStart])
    }

    /// What a patch is known by, however it is named: SHA-256 of its manifest.
    public var identity: Digest { Digest(of: manifestBytes) }

    /// - Returns: nil for an unsigned file.
    public func signature() throws(PatchError) -> SSHSignature? {
        guard !signatureBytes.isEmpty else { return nil }
        do { return try SSHSignature(blob: signatureBytes) } catch { throw .signing(error) }
    }

    /// Checks the signature, then reads the manifest.
    ///
    /// - Returns: the manifest, and the principal that signed; nil for an unsigned one.
    public func opened(_ trust: Trust) throws(PatchError) -> (manifest: PatchManifest, signer: String?) {
        let signer = try signer(trust)
        return (try PatchManifest(manifestBytes, framesLength: header.whole - header.framesStart, file: name), signer)
    }

    private func signer(_ trust: Trust) throws(PatchError) -> String? {
        switch trust {
        case .nobodyAsked: return nil
        case .signersOrUnsigned where signatureBytes.isEmpty: return nil
        case .signers(let signers, let now), .signersOrUnsigned(let signers, let now):
            guard let signature = try signature() else { throw .unsigned(file: name) }
            do throws(SigningError) {
                guard signature.namespace == Self.namespace else {
                    throw .signature(expected: "namespace \(Self.namespace)", found: String(signature.namespace.prefix(100)))
                }
                guard signature.isValid(for: manifestBytes) else { throw .wrongSignature(key: "\(signature.key)") }
                return try signers.principal(of: signature.key, namespace: Self.namespace, now: now)
            } catch { throw .signing(error) }
        }
    }
}
