public import Disk
public import ModelFormat
public import Signing

/// A patch or an order in a file that does not change any more: its head, and the tensor frames.
///
/// A frame's signed digest is checked before zstd sees it.
public struct PatchFile: Sendable {
    public static let namespace = PatchHead.namespace

    public let head: PatchHead
    private let bytes: SharedBytes

    /// - Throws: `.incomplete`, `.header`, `.trailing`.
    public init(_ bytes: SharedBytes, name: String) throws(PatchError) {
        let header = try bytes.withBytes { raw throws(PatchError) in try PatchHeader(raw.prefix(PatchHeader.size), file: name) }
        guard bytes.count >= header.whole else { throw .incomplete(file: name, expected: header.whole, found: bytes.count) }
        guard bytes.count == header.whole else { throw .trailing(file: name, expected: header.whole, found: bytes.count) }
        head = try PatchHead(bytes.withBytes { Array($0[..<header.framesStart]) }, name: name)
        self.bytes = bytes
    }

    public init(path: String) throws(PatchError) {
        let file: MappedFile
        do { file = try MappedFile(path) } catch { throw .disk(error) }
        try self.init(file, name: path)
    }

    /// Looks at a frame without its base: of the signed digest, and holding as much as it says.
    public func check(_ frame: PatchFrame, at start: Int, in room: MergeRoom) throws(PatchError) {
        try room.with(frame.exact) { contents throws(PatchError) in try unpack(frame, at: start, into: contents) }
    }

    /// - Parameters:
    ///   - frame: one of this file's manifest, which vouches for its place.
    ///   - start: where it begins, counted from the end of the first frame.
    ///   - contents: room for what is in it.
    func unpack(_ frame: PatchFrame, at start: Int, into contents: UnsafeMutableRawBufferPointer) throws(PatchError) {
        try bytes.withBytes { all throws(PatchError) in
            let first = header.framesStart + start
            let compressed = UnsafeRawBufferPointer(rebasing: all[first..<(first + frame.compressed)])
            guard Digest(of: compressed) == frame.digest else { throw .frameDigest(file: name, tensor: frame.tensor) }
            guard Zstandard.decompress(compressed, into: contents) else {
                throw .frame(
                    file: name, tensor: frame.tensor, expected: "one zstd frame of \(frame.exact) bytes", found: "another one")
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

// What the head says.
extension PatchFile {
    public var name: String { head.name }
    public var header: PatchHeader { head.header }
    public var manifestBytes: [UInt8] { head.manifestBytes }
    public var identity: Digest { head.identity }

    public func signature() throws(PatchError) -> SSHSignature? { try head.signature() }

    public func opened(_ trust: Trust) throws(PatchError) -> (manifest: PatchManifest, signer: String?) {
        try head.opened(trust)
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
