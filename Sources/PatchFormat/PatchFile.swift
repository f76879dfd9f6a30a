public import Disk
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

/// A patch or an order in a file that does not change any more.
///
/// The order of looking is the safety: header and length, signature over the manifest's bytes, manifest, a frame's
/// digest, and only then zstd.
public struct PatchFile: Sendable {
    public static let namespace = "tiankong-patch"

    public let name: String
    public let header: PatchHeader
    /// What is signed.
    public let manifestBytes: [UInt8]
    private let signatureBytes: [UInt8]
    private let bytes: SharedBytes

    /// - Throws: `.incomplete`, `.header`, `.trailing`.
    public init(_ bytes: SharedBytes, name: String) throws(PatchError) {
        let header = try bytes.withBytes { raw throws(PatchError) in try PatchHeader(raw.prefix(PatchHeader.size), file: name) }
        guard bytes.count >= header.whole else { throw .incomplete(file: name, expected: header.whole, found: bytes.count) }
        guard bytes.count == header.whole else { throw .trailing(file: name, expected: header.whole, found: bytes.count) }
        self.name = name
        self.header = header
        self.bytes = bytes
        let signatureStart = PatchHeader.size + header.manifest
        manifestBytes = bytes.withBytes { Array($0[PatchHeader.size..<signatureStart]) }
        signatureBytes = bytes.withBytes { Array($0[signatureStart..<header.framesStart]) }
    }

    public init(path: String) throws(PatchError) {
        let file: MappedFile
        do { file = try MappedFile(path) } catch { throw .disk(error) }
        try self.init(file, name: path)
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
                    throw .signature(expected: "namespace \(Self.namespace)", found: signature.namespace)
                }
                guard signature.isValid(for: manifestBytes) else { throw .wrongSignature(key: "\(signature.key)") }
                return try signers.principal(of: signature.key, namespace: Self.namespace, now: now)
            } catch { throw .signing(error) }
        }
    }

    /// The contents of a frame, its digest checked before zstd sees it.
    ///
    /// - Parameter start: where it begins, counted from the end of the first frame.
    public func contents(of frame: PatchFrame, at start: Int) throws(PatchError) -> HeapBytes {
        try bytes.withBytes { all throws(PatchError) in
            let first = header.framesStart + start
            let compressed = UnsafeRawBufferPointer(rebasing: all[first..<(first + frame.compressed)])
            guard Digest(of: compressed) == frame.digest else { throw .frameDigest(file: name, tensor: frame.tensor) }
            return try HeapBytes(count: frame.exact) { target throws(PatchError) in
                guard Zstandard.decompress(compressed, into: target) else {
                    throw .frame(
                        file: name, tensor: frame.tensor, expected: "one zstd frame of \(frame.exact) bytes", found: "another one")
                }
            }
        }
    }

    /// The same file with another signature; `nil` takes it off.
    public func signed(_ signature: SSHSignature?) -> [UInt8] {
        let blob = signature?.blob ?? []
        let frames = header.whole - header.framesStart
        let header = PatchHeader(manifest: manifestBytes.count, signature: blob.count, frames: frames)
        return bytes.withBytes { header.bytes + manifestBytes + blob + $0[self.header.framesStart...] }
    }
}

extension PatchPlan {
    /// Where each frame begins, counted from the end of the first one.
    public var starts: [Int] {
        var start = 0
        return frames.map { frame in
            defer { start += frame.compressed }
            return start
        }
    }
}
