import ModelFormat
import PatchFormat
import StrictJSON
import Testing

@Suite("spoiled patches never crash and never lead elsewhere")
struct FuzzTests {
    private let base: ModelContents
    private let identity: VersionIdentity
    private let good: [UInt8]
    private let plan: PatchPlan
    private let manifest: [UInt8]
    private let frames: [UInt8]

    /// A patch with every op and encoding in it.
    init() async throws {
        let model = TinyModel(.f16)
        var target = model
        var random = SplitMix(state: 6)
        target.change(TinyModel.matrix) { for index in $0.indices { $0[index] += .random(in: -1e-2...1e-2, using: &random) } }
        target.change(TinyModel.vector, to: .f32) { for index in $0.indices { $0[index] *= -1.001 } }
        target.change(TinyModel.decoder) { for index in 12..<20 { $0[index] = 1 } }
        target.change("bert.encoder.layer.0.output.dense.weight", to: .bf16) { for index in $0.indices { $0[index] = Float(index) } }
        identity = try await model.identity()
        base = try model.contents()
        let recipe = PatchMaker.Recipe(
            encoding: .compact, line: identity.fingerprint, release: "r1", epoch: 7, created: "2026-11-25T03:12:49Z",
            dossier: ["by": "甲", "figures": ["top1": .real(0.61)]])
        let product = try await PatchMaker(base: base, target: target.contents(), recipe: recipe).make()
        plan = product.plan
        manifest = try PatchFile(shared(product.bytes), name: "p").manifestBytes
        frames = Array(product.bytes.suffix(product.plan.frames.reduce(0) { $0 + $1.compressed }))
        good = try Forge.signed(manifest: manifest, frames: frames)
    }

    @Test("20 000 mutated files, re-signed manifests and re-signed frames")
    func mutations() throws {
        #expect(try applied(good, to: base, identity).1.count == plan.frames.count && plan.frames.count > 3)
        var random = SplitMix(state: 42)
        let before = peakMemory()
        var harmless = 0
        for round in 0..<20_000 {
            let bytes: [UInt8]
            switch round % 5 {
            case 0, 1: bytes = mutated(good, &random)
            case 2, 3: bytes = try Forge.signed(manifest: mutatedText(&random), frames: frames)
            default: bytes = try withMutatedFrames(&random)
            }
            guard bytes != good else { continue }
            do {
                let (found, _) = try applied(bytes, to: base, identity)
                // Another release, epoch or date, signed by a trusted key: that is another patch to the same version.
                #expect(found.target == plan.target && round % 5 > 1, "round \(round)")
                harmless += 1
            } catch {
                #expect(!"\(error)".isEmpty && error is PatchError, "round \(round): \(error)")
            }
        }
        #expect(harmless < 2_000, "\(harmless)")
        #expect(peakMemory() - before < 64 << 20)
    }

    private func mutated(_ bytes: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            guard bytes.count > 1 else { break }
            // Half of the time where most is said in least: the header.
            let at = Int.random(in: 0..<(Bool.random(using: &random) ? min(36, bytes.count) : bytes.count), using: &random)
            let other = Int.random(in: 0..<bytes.count, using: &random), length = Int.random(in: 1...64, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[at] = .random(in: 0...255, using: &random)
            case 2: bytes = Array(bytes.prefix(at))
            case 3: bytes.insert(contentsOf: Array(bytes[other...].prefix(length)), at: at)
            case 4: bytes.removeSubrange(at..<min(at + length, bytes.count))
            default: bytes.replaceSubrange(at..<min(at + length, bytes.count), with: Array(bytes[other...].prefix(length)))
            }
        }
        return bytes
    }

    /// The manifest with numbers that lie, words exchanged, or bytes turned.
    private func mutatedText(_ random: inout SplitMix) -> [UInt8] {
        var text = manifest
        let numbers = ["0", "-1", "1", "255", "96", "4294967295", "17179869184", "9223372036854775807", "1e400", "1.5", "268435456"]
        let words = ["null", "[]", "{}", "\"\\u0000\"", "\"replace\"", "\"delta\"", "\"rows\"", "\"raw\"", "\"exact\"", "\"compact\"", "\"F32\"", "\"BF16\"", "true", "\"\(TinyModel.words)\""]
        for _ in 0..<Int.random(in: 1...2, using: &random) {
            let at = Int.random(in: 0..<text.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0:  // the next number
                guard let start = text[at...].indices.first(where: { $0 > 0 && Self.isDigit(text[$0]) && !Self.isWord(text[$0 - 1]) }) else { break }
                let end = text[start...].firstIndex { !Self.isDigit($0) } ?? text.endIndex
                text.replaceSubrange(start..<end, with: Array(numbers.randomElement(using: &random)!.utf8))
            case 1:  // the next value
                guard let colon = text[at...].firstIndex(of: UInt8(ascii: ":")) else { break }
                let end = text[colon...].firstIndex { [UInt8(ascii: ","), UInt8(ascii: "}")].contains($0) } ?? text.endIndex
                text.replaceSubrange((colon + 1)..<end, with: Array(words.randomElement(using: &random)!.utf8))
            default: text = mutated(text, &random)
            }
            if text.isEmpty { text = manifest }
        }
        return text
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    private static func isWord(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\"") || byte >= UInt8(ascii: "a") || isDigit(byte) }

    /// One frame with other bytes in it, a bomb in its place, or another one's; digests and lengths are those of these bytes.
    private func withMutatedFrames(_ random: inout SplitMix) throws -> [UInt8] {
        var parts = zip(plan.frames, plan.starts).map { frame, start in Array(frames[start..<(start + frame.compressed)]) }
        let which = parts.indices.randomElement(using: &random)!
        switch Int.random(in: 0..<8, using: &random) {
        case 0: parts[which] = Forge.bomb(1 << Int.random(in: 0...28, using: &random), header: [0xA0] + little([UInt32(plan.frames[which].exact)]))
        case 1: parts[which] = Forge.bomb(plan.frames[which].exact, header: [0, .random(in: 0...255, using: &random)])
        case 2: parts[which] = parts.randomElement(using: &random)!
        case 3: parts[which] = Forge.zstd((0..<plan.frames[which].exact).map { _ in .random(in: 0...255, using: &random) })
        default: parts[which] = mutated(parts[which], &random)
        }
        if parts[which].isEmpty { parts[which] = [0] }
        guard let json = try? JSON(parsing: manifest), var members = json.members,
            let place = members.firstIndex(where: { $0.key == "frames" }), var described = members[place].value.elements?.compactMap(\.members)
        else { return [] }
        described[which] = described[which].map { member in
            switch member.key {
            case "compressed": .init(member.key, .integer(Int64(parts[which].count)))
            case "sha256": .init(member.key, .string("\(Digest(of: parts[which]))"))
            default: member
            }
        }
        members[place] = .init("frames", .array(described.map { .object($0) }))
        return try Forge.signed(manifest: Array(JSON.object(members).serialized.utf8), frames: parts.flatMap { $0 })
    }
}
