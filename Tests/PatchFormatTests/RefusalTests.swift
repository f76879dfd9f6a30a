import Glibc
import ModelFormat
import PatchFormat
import Signing
import StrictJSON
import Testing

@Suite("a patch that is not what it should be is refused, with object, expected and found")
struct RefusalTests {
    private let base = TinyModel()
    private let identity: VersionIdentity
    private let good: Forge
    private static let zeros = [UInt8](repeating: 0, count: 96)

    /// Replaces the matrix by zeros, truly.
    init() async throws {
        identity = try await base.identity()
        var target = base
        target.tensors[TinyModel.matrix]?.bytes = Self.zeros
        var forge = Forge(base: identity.fingerprint, target: try await target.identity().fingerprint)
        forge.add(TinyModel.matrix, [6, 4], "replace", "raw", Self.zeros, result: Self.zeros)
        good = forge
    }

    private func refusal(_ bytes: [UInt8], trust: Trust? = nil) -> PatchError? {
        do {
            _ = try applied(bytes, to: base.contents(), identity, trust: trust)
            return nil
        } catch { return error as? PatchError }
    }

    private func expect(
        _ bytes: [UInt8], trust: Trust? = nil, endsIdentity: Bool, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard let error = refusal(bytes, trust: trust) else {
            Issue.record("accepted, or another error", sourceLocation: sourceLocation)
            return
        }
        let text = String("\(error)".prefix { $0 != "\n" })
        for word in words { #expect(text.contains(word), "\(text)", sourceLocation: sourceLocation) }
        #expect(error.endsIdentity == endsIdentity, "\(text)", sourceLocation: sourceLocation)
    }

    @Test("what is right is taken, signed or, where that is allowed, not")
    func takenAsItIs() throws {
        let bytes = try good.signed()
        #expect(refusal(bytes) == nil)
        let patch = try PatchFile(shared(bytes), name: "p")
        let signers = try AllowedSigners("forger \(Forge.key.publicKey)", file: "signers")
        #expect(try patch.opened(.signers(signers, now: 0)).signer == "forger")
        #expect(patch.identity == Digest(of: Array(good.json.serialized.utf8)))
        let unsigned = try PatchFile(shared(patch.signed(nil)), name: "p")
        #expect(try unsigned.opened(.signersOrUnsigned(signers, now: 0)).signer == nil && unsigned.identity == patch.identity)
        expect(patch.signed(nil), endsIdentity: false, "p: expected a signature, found none")
        #expect(try unsigned.signed(patch.signature()) == bytes)
    }

    @Test("a head is opened from the file's first bytes alone")
    func head() throws {
        let bytes = try good.signed()
        let needed = try PatchHeader(bytes.prefix(PatchHeader.size), file: "p").framesStart
        #expect(needed < bytes.count)
        let head = try PatchHead(Array(bytes.prefix(needed)), name: "p")
        #expect(try head.opened(Forge.trust).signer == "forger")
        for count in [0, 1, 35, 36, needed - 1] {
            #expect(throws: PatchError.incomplete(file: "p", expected: count < 36 ? 36 : needed, found: count)) {
                try PatchHead(Array(bytes.prefix(count)), name: "p")
            }
        }
    }

    @Test("every byte of the header that is another, every length that is another")
    func header() throws {
        let bytes = try good.signed()
        func with(_ at: Int, _ number: UInt64, _ width: Int) -> [UInt8] { Array(bytes[..<at]) + little([number]).prefix(width) + bytes[(at + width)...] }
        let (manifest, signature) = (UInt64(good.json.serialized.utf8.count), UInt64(PatchHeader.size))
        expect(with(0, 0x184D_2A51, 4), endsIdentity: false, "p: expected a patch of tiankong, found other bytes")
        expect(with(8, 0, 8), endsIdentity: false, "a patch of tiankong")
        expect(with(16, 2, 4), endsIdentity: false, "expected format 1, found format 2")
        expect(with(4, 1, 4), endsIdentity: false, "expected a first frame of", "found 1")
        expect(with(20, 0, 4), endsIdentity: false, "expected a manifest of 1 to 8388608 bytes, found 0")
        expect(with(20, 0xFFFF_FFFF, 4), endsIdentity: false, "a manifest of 1 to", "4294967295")
        expect(with(20, manifest + 1, 4), endsIdentity: false, "expected a first frame of")
        expect(with(24, 4097, 4), endsIdentity: false, "expected a signature of at most 4096 bytes, found 4097")
        expect(with(28, UInt64.max, 8), endsIdentity: false, "expected a length of at least", "18446744073709551615")
        expect(with(28, signature, 8), endsIdentity: false, "expected a length of at least", "found 36")
        expect(with(28, UInt64(Int.max), 8), endsIdentity: false, "expected \(Int.max) bytes, found \(bytes.count)")
        expect(with(28, UInt64(bytes.count - 1), 8), endsIdentity: false, "expected \(bytes.count - 1) bytes, found \(bytes.count)")
        expect(bytes + [0], endsIdentity: false, "expected \(bytes.count) bytes, found \(bytes.count + 1)")
        for count in [0, 35, 36, bytes.count - 1] { expect(Array(bytes.prefix(count)), endsIdentity: false, "expected", "found \(count)") }
    }

    @Test("a signature of other bytes, another key, another namespace, or none at all that is one")
    func signature() throws {
        let manifest = Array(good.json.serialized.utf8), frames = good.frames.flatMap { $0 }
        func signed(_ blob: [UInt8]) -> [UInt8] {
            PatchHeader(manifest: manifest.count, signature: blob.count, frames: frames.count).bytes + manifest + blob + frames
        }
        let other = SSHPrivateKey()
        expect(try signed(SSHSignature(signing: manifest, with: other, namespace: "tiankong-patch").blob), endsIdentity: false, "signer: expected a key of allowed_signers, found \(other.publicKey)")
        expect(try signed(SSHSignature(signing: manifest + [0x20], with: Forge.key, namespace: "tiankong-patch").blob), endsIdentity: false, "signature: it is not of these bytes")
        expect(try signed(SSHSignature(signing: manifest, with: Forge.key, namespace: "file").blob), endsIdentity: false, "signature: expected namespace tiankong-patch, found file")
        expect(signed([1, 2, 3]), endsIdentity: false, "signature: expected SSHSIG, version 1, found other bytes")
        let late = Trust.signers(try AllowedSigners("forger valid-before=\"20200101Z\" \(Forge.key.publicKey)", file: "s"), now: 1_800_000_000)
        expect(try good.signed(), trust: late, endsIdentity: false, "signer forger: the key is not valid any more")
    }

    @Test("a manifest's members: one too many, too few, of another kind or beyond its bounds", arguments: [
        ("note", "\"x\"", "expected one of kind, base", "an unknown key"), ("created", nil, "created: expected a value", "none"),
        ("kind", "\"import\"", "kind: expected patch or rollback", "import"), ("base", "\"ABC\"", "base: expected 64 hexadecimal digits", "ABC"),
        ("line", "1", "line: expected a text", "a number"), ("target", "\"../../x\"", "target: expected 64 hexadecimal digits", "../../x"),
        ("release", "\"\"", "release: expected a name", "none"), ("release", "\"a\\nb\"", "expected a text on one line", "a\\u{a}b"),
        ("release", "\"a\\u0000b\"", "expected a text on one line", "a\\u{0}b"), ("created", "\"\\u001b[31m\"", "expected a text on one line", "\\u{1b}[31m"),
        ("epoch", "0", "epoch: expected a whole number from 1 to 2147483647", "0"), ("epoch", "2147483648", "epoch", "2147483648"),
        ("epoch", "1.0", "epoch", "1.0"), ("epoch", "true", "epoch", "true"), ("calibration", "{}", "calibration: expected null or", "{}"),
        ("calibration", "\"{ }\"", "calibration: expected null or", "{ }"), ("calibration", "\"[1]\"", "calibration", "[1]"),
        ("dossier", "[]", "dossier: expected null or", "[]"), ("frames", "{}", "frames: expected a list", "0"),
        ("frames", "[]", "frames: expected", "compressed bytes in all"), ("frames", "[1]", "frames[0]: expected an object", "a number"),
    ] as [(String, String?, String, String)])
    func members(key: String, value: String?, expected: String, found: String) throws {
        var forge = good
        forge[key] = try value.map { try JSON(parsing: Array($0.utf8)) }
        expect(try forge.signed(), endsIdentity: true, "p: manifest: ", expected, "found ", found)
    }

    @Test("a frame's members: lengths that lie, shapes that overflow, names that lead elsewhere", arguments: [
        ("tensor", "\"../../etc/passwd\"", "expected a name of letters", "../../etc/passwd"), ("tensor", "\"\"", "expected a name of letters", ""),
        ("tensor", "\"a\\u0000b\"", "a text on one line", "a\\u{0}b"), ("tensor", "\"bert.encoder.nothing\"", "base: bert.encoder.nothing: expected a tensor", "none"),
        ("tensor", "\"bert.embeddings.LayerNorm.weight\"", "expected shape [6, 4]", "[4]"),
        ("shape", "[]", "one or two sizes", "[]"), ("shape", "[1,6,4]", "one or two sizes", "[1,6,4]"), ("shape", "[6,-4]", "sizes from 1", "-4"),
        ("shape", "[268435456,268435456]", "2147483648 elements at most", "268435456"), ("shape", "[6,4.0]", "sizes from 1", "4.0"),
        ("shape", "[9223372036854775807,2]", "sizes from 1", "9223372036854775807"), ("shape", "[4,6]", "expected shape [4, 6]", "[6, 4]"),
        ("dtype", "\"I8\"", "one of F32, F16, BF16", "I8"), ("dtype", "\"F16\"", "exact: expected a length", "96"), ("op", "\"xor\"", "one of replace, delta, rows", "xor"),
        ("encoding", "\"exact\"", "exact: expected a length that replace exact", "96"), ("op", "\"delta\"", "exact: expected a length that delta raw", "96"),
        ("op", "\"rows\"", "exact: expected a length that rows raw", "96"),
        ("exact", "97", "exact: expected a length", "97"), ("exact", "17179869184", "exact: expected a length", "17179869184"),
        ("exact", "-1", "whole number from 1", "-1"), ("compressed", "1", "compressed bytes in all", "1"),
        ("compressed", "9223372036854775807", "whole number from 1 to 17179869184", "9223372036854775807"),
        ("sha256", "\"0\"", "64 hexadecimal digits", "0"), ("result", "null", "result: expected a text", "null"), ("more", "1", "expected one of tensor", "an unknown key"),
    ])
    func frameMembers(key: String, value: String, expected: String, found: String) throws {
        var forge = Forge(base: identity.fingerprint, target: identity.fingerprint)
        forge["target"] = good["target"]
        forge.add(TinyModel.matrix, [6, 4], "replace", "raw", Self.zeros, result: Self.zeros, wrong: [(key, try JSON(parsing: Array(value.utf8)))])
        // The target is what such a frame would lead to, so that it is the frame that is looked at.
        if let plan = try? PatchFile(shared(forge.signed()), name: "p").opened(.nobodyAsked).manifest, case .patch(let plan) = plan {
            forge["target"] = .string("\(plan.identity(base: identity).fingerprint)")
        }
        expect(try forge.signed(), endsIdentity: true, expected, "found ", found)
    }

    @Test("frames are held against what is known of the base before anything is read")
    func fit() throws {
        func refusal(_ tensor: String, _ shape: [Int], _ operation: String, _ encoding: String, _ dtype: DType, exact: Int) throws -> PatchError? {
            var forge = good
            forge["frames"] = []
            forge.frames = []
            forge.add(tensor, shape, operation, encoding, [], result: [], dtype: dtype, wrong: [("exact", .integer(Int64(exact)))])
            guard case .patch(let plan) = try PatchFile(shared(forge.signed()), name: "p").opened(Forge.trust).manifest else { return nil }
            do { try plan.check(against: identity) } catch { return error }
            return nil
        }
        #expect(try refusal(TinyModel.matrix, [6, 4], "replace", "raw", .f32, exact: 96) == nil)
        #expect(try refusal(TinyModel.decoder, [40, 4], "rows", "raw", .f32, exact: 4) == nil)
        #expect(try refusal("x", [6, 4], "replace", "raw", .f32, exact: 96) == .base(tensor: "x", expected: "a tensor of that name", found: "none"))
        let huge = [1 << 28, 8]
        #expect(try refusal(TinyModel.matrix, huge, "delta", "exact", .f32, exact: 1 << 33) == .base(tensor: TinyModel.matrix, expected: "shape \(huge)", found: "[6, 4]"))
        #expect(try refusal(TinyModel.matrix, [6, 4], "rows", "raw", .f16, exact: 4) == .base(tensor: TinyModel.matrix, expected: "F16", found: "F32"))
    }

    @Test("JSON that is none, says a key twice, or goes on after its end")
    func json() throws {
        let text = good.json.serialized, frames = good.frames.flatMap { $0 }
        for (wrong, words) in [
            (text + "x", "expected the end"), (String(text.dropLast()) + ",\"epoch\":1}", "\"epoch\" occurs twice"), ("[\(text)]", "expected an object"),
            (text.replacing("null", with: "nul"), "JSON"), ("", ""), (text.replacing("forged", with: "\u{1}"), "control"),
            (text.replacing("\"dossier\":null", with: "\"dossier\":" + String(repeating: "{\"a\":", count: 5000) + "1" + String(repeating: "}", count: 5000)), "levels"),
        ] where !wrong.isEmpty {
            expect(try Forge.signed(manifest: Array(wrong.utf8), frames: frames), endsIdentity: true, "p: manifest: ", words)
        }
        expect(try Forge.signed(manifest: [0x7B, 0xFF, 0x7D], frames: frames), endsIdentity: true, "p: manifest")
        // White space and order are the maker's own.
        #expect(refusal(try Forge.signed(manifest: Array(good.json.indented.utf8), frames: frames)) == nil)
    }

    @Test("a tensor twice, frames exchanged, a byte changed, a result that is another, numbers that are none, another base")
    func frames() throws {
        var twice = good
        twice.add(TinyModel.matrix, [6, 4], "replace", "raw", Self.zeros, result: Self.zeros)
        expect(try twice.signed(), endsIdentity: true, "frames[1].tensor: expected each tensor once", TinyModel.matrix)
        var damaged = good
        damaged.frames[0][20] ^= 1
        expect(try damaged.signed(), endsIdentity: false, "p: frame of \(TinyModel.matrix): expected the signed digest")
        var wrong = good
        wrong["frames"] = []
        wrong.frames = []
        wrong.add(TinyModel.matrix, [6, 4], "replace", "raw", [1] + Self.zeros.dropFirst(), result: Self.zeros)
        expect(try wrong.signed(), endsIdentity: true, "merged \(TinyModel.matrix): expected \(Digest(of: Self.zeros))")
        var target = good
        target["target"] = .string(String(repeating: "0", count: 64))
        expect(try target.signed(), endsIdentity: true, "merged version: expected fingerprint 0000")
        for value in [Float.nan, .infinity, -.infinity] {
            let contents = little([value.bitPattern]) + Self.zeros.dropFirst(4)
            var forge = Forge(base: identity.fingerprint, target: identity.fingerprint)
            forge["target"] = .string(String(repeating: "1", count: 64))
            forge.add(TinyModel.matrix, [6, 4], "replace", "raw", contents, result: contents)
            guard case .patch(let plan) = try PatchFile(shared(forge.signed()), name: "p").opened(.nobodyAsked).manifest else { continue }
            forge["target"] = .string("\(plan.identity(base: identity).fingerprint)")
            expect(try forge.signed(), endsIdentity: true, TinyModel.matrix, "element 0: expected a finite number, found NaN or infinity")
        }
    }

    @Test("a signed frame that is not one zstd frame of its size costs no memory", arguments: [
        ("a bomb that says so", Forge.bomb(1 << 30, header: [0xA0] + little([UInt32(1 << 30)]))),
        ("a bomb that lies", Forge.bomb(1 << 30, header: [0xA0] + little([UInt32(96)]))),
        ("a bomb that says nothing", Forge.bomb(1 << 30, header: [0, 0x38])),
        ("a window of a terabyte", Forge.bomb(96, header: [0, 0xF8])), ("a window of 256 MiB", Forge.bomb(96, header: [0, 0x90])),
        ("a dictionary", Forge.bomb(96, header: [0x21, 7, 96])), ("a dictionary of no number", Forge.bomb(96, header: [0x21, 0, 96])),
        ("a reserved bit", Forge.bomb(96, header: [0x28, 96])), ("an unused bit", Forge.bomb(96, header: [0x30, 96])),
        ("a checksum that lacks", Forge.bomb(96, header: [0x24, 96])), ("another size stated", Forge.bomb(96, header: [0x20, 95])),
        ("too few", Forge.bomb(95, header: [0x20, 96])), ("too many", Forge.bomb(97, header: [0x20, 96])),
        ("two frames", Forge.bomb(48, header: [0x20, 48]) + Forge.bomb(48, header: [0x20, 48])),
        ("a frame and an empty one", Forge.bomb(96, header: [0x20, 96]) + Forge.bomb(0, header: [0x20, 0])),
        ("a byte after", Forge.bomb(96, header: [0x20, 96]) + [0]), ("one byte less", Array(Forge.bomb(96, header: [0x20, 96]).dropLast())),
        ("a skippable frame before", little([0x184D_2A50 as UInt32, 1]) + [0] + Forge.bomb(96, header: [0x20, 96])),
        ("nothing but a magic", little([0xFD2F_B528 as UInt32])), ("a byte", [0]), ("no frame", [UInt8](repeating: 7, count: 96)),
    ] as [(String, [UInt8])])
    func bombs(name: String, frame: [UInt8]) throws {
        var forge = good
        forge["frames"] = []
        forge.frames = []
        forge.add(TinyModel.matrix, [6, 4], "replace", "raw", Self.zeros, result: Self.zeros, compressed: frame)
        let before = peakMemory()
        expect(try forge.signed(), endsIdentity: true, "p: frame of \(TinyModel.matrix): expected one zstd frame of 96 bytes, found another one")
        #expect(peakMemory() - before < 32 << 20)
    }

    @Test("a frame may be of any zstd, with a checksum, without a size", arguments: [
        Forge.bomb(96, header: [0x20, 96]), Forge.bomb(96, header: [0, 0x38]), Forge.bomb(96, header: [0x24, 96]) + [0xBF, 0x22, 0x4A, 0x50],
    ])
    func otherWriters(frame: [UInt8]) throws {
        var forge = good
        forge["frames"] = []
        forge.frames = []
        forge.add(TinyModel.matrix, [6, 4], "replace", "raw", Self.zeros, result: Self.zeros, compressed: frame)
        #expect(refusal(try forge.signed()) == nil)
    }

    @Test("rows must rise, lie within the tensor and fill their frame", arguments: [
        ([3, 3], 2, "expected rising rows below 6, found 3"), ([4, 3], 2, "found 3"), ([6], 1, "found 6"), ([3], 2, "rows"), ([3, 4], 1, "rows"),
        ([.max, .max, .max, .max], 4, "rising rows"), ([0xFFFF_FFFF, 1], 1, "rows"),
    ] as [([UInt32], Int, String)])
    func rows(places: [UInt32], there: Int, words: String) throws {
        var forge = good
        forge["frames"] = []
        forge.frames = []
        let contents = little([UInt32(places.count)] + places) + [UInt8](repeating: 0, count: 16 * there)
        forge.add(TinyModel.matrix, [6, 4], "rows", "raw", contents, result: Self.zeros)
        expect(try forge.signed(), endsIdentity: true, words)
    }

    @Test("an order to go back is read, and refused with frames or a reason of several lines")
    func orders() throws {
        let version = identity.fingerprint
        let order = PatchManifest.order(.init(line: version, to: version, epoch: 3, reason: "错字变多")).bytes
        let (manifest, signer) = try PatchFile(shared(Forge.signed(manifest: order, frames: [])), name: "p").opened(Forge.trust)
        guard case .order(let read) = manifest else {
            Issue.record("no order")
            return
        }
        #expect(signer == "forger" && read.to == version && read.line == version && read.epoch == 3 && read.reason == "错字变多")
        expect(try Forge.signed(manifest: order, frames: [1]), endsIdentity: true, "frames: expected 1 compressed bytes in all, found 0")
        let lines = PatchManifest.order(.init(line: version, to: version, epoch: 3, reason: "a\nb")).bytes
        expect(try Forge.signed(manifest: lines, frames: []), endsIdentity: true, "reason: expected a text on one line")
    }
}

/// Most bytes that this process ever had in memory.
func peakMemory() -> Int {
    guard let file = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
        let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        if words.first == "VmHWM:", words.count > 1 { return (Int(words[1]) ?? 0) << 10 }
    }
    return 0
}
