import ModelFormat
import PatchFormat
import StrictJSON
import Testing

@Suite("a patch leads from its base to its target")
struct RoundTripTests {
    static let dtypes = DType.allCases
    /// Numbers at which something can go wrong: zeros of both signs, subnormals, ends of the scale, neighbours.
    static func hard(_ dtype: DType) -> [Float] {
        let least: Float = dtype == .f16 ? 0x1p-24 : dtype == .bf16 ? 0x1p-133 : .leastNonzeroMagnitude
        let most: Float = dtype == .f16 ? 65504 : dtype == .bf16 ? Float(bitPattern: 0x7F7F_0000) : .greatestFiniteMagnitude
        let normal: Float = dtype == .f16 ? 0x1p-14 : .leastNormalMagnitude
        return [0, -0.0, least, -least, 3 * least, normal, -normal, normal - least, most, -most, 1, -1, 0.5, -0.25, 1.5, 1e-3, 2, -3]
    }

    private func recipe(_ encoding: PatchFrame.Encoding, _ base: VersionIdentity, dossier: JSON? = nil) -> PatchMaker.Recipe {
        .init(encoding: encoding, line: base.fingerprint, release: "r", epoch: 1, created: "2026-11-25T03:12:49Z", dossier: dossier)
    }

    /// Makes and applies; the product, and the tensors that came out.
    private func made(_ base: TinyModel, _ target: TinyModel, _ encoding: PatchFrame.Encoding) async throws -> (PatchMaker.Product, [String: [UInt8]]) {
        let identity = try await base.identity()
        let product = try await PatchMaker(base: base.contents(), target: target.contents(), recipe: recipe(encoding, identity)).make()
        let (plan, tensors) = try applied(product.bytes, to: base.contents(), identity, trust: .nobodyAsked)
        #expect(plan.frames.map(\.tensor) == tensors.keys.sorted())
        return (product, tensors)
    }

    @Test("exact, bit by bit, from every dtype to every dtype, with the hardest numbers on both sides", arguments: dtypes, dtypes)
    func exact(from: DType, to: DType) async throws {
        var base = TinyModel(from), target = TinyModel(from)
        for (place, name) in [TinyModel.matrix, TinyModel.vector, TinyModel.words].enumerated() {
            let (before, after) = (Self.hard(from), Self.hard(to))
            base.change(name) { for index in $0.indices { $0[index] = before[(index + place) % before.count] } }
            target.change(name, to: to) { for index in $0.indices { $0[index] = after[(index * 7 + place) % after.count] } }
        }
        let (product, tensors) = try await made(base, target, .exact)
        #expect(product.largestDifference == 0 && tensors.count == 3)
        for (name, bytes) in tensors { #expect(bytes == target.tensors[name]?.bytes, "\(name)") }
        #expect(try await product.plan.target == target.identity().fingerprint)
    }

    @Test("a small change is a delta, and exact is the target itself", arguments: dtypes)
    func smallChange(dtype: DType) async throws {
        var random = SplitMix(state: 2)
        var target = TinyModel(dtype)
        target.change(TinyModel.matrix, to: .f32) { for index in $0.indices { $0[index] += .random(in: -1e-4...1e-4, using: &random) } }
        let (product, tensors) = try await made(TinyModel(dtype), target, .exact)
        #expect(product.plan.frames.map(\.operation) == [.delta] && product.plan.frames.map(\.encoding) == [.exact])
        #expect(tensors[TinyModel.matrix] == target.tensors[TinyModel.matrix]?.bytes)
    }

    @Test("compact is off by half an eighth of the row's deviation at most, vectors not at all", arguments: dtypes)
    func compact(dtype: DType) async throws {
        var random = SplitMix(state: 3)
        var target = TinyModel(dtype)
        for name in [TinyModel.matrix, TinyModel.vector] {
            target.change(name, to: .f32) { for index in $0.indices { $0[index] += .random(in: -1e-3...1e-3, using: &random) } }
        }
        let (product, tensors) = try await made(TinyModel(dtype), target, .compact)
        #expect(product.plan.frames.first { $0.tensor == TinyModel.matrix }?.encoding == .compact)
        #expect(tensors[TinyModel.vector] == target.tensors[TinyModel.vector]?.bytes)
        #expect(product.largestDifference > 0 && product.largestDifference <= 1e-3 / 16 * 1.001)
        let (wanted, found) = (widened(target.tensors[TinyModel.matrix]!.bytes, .f32), widened(tensors[TinyModel.matrix]!, .f32))
        #expect(zip(wanted, found).map { abs($0 - $1) }.max() == product.largestDifference)
    }

    @Test("a change as large as the tensor itself is too coarse for codes, and exact")
    func largeChange() async throws {
        var target = TinyModel()
        target.change(TinyModel.matrix) { for index in $0.indices { $0[index] *= -1.5 } }
        let (product, tensors) = try await made(TinyModel(), target, .compact)
        #expect(product.largestDifference == 0 && tensors[TinyModel.matrix] == target.tensors[TinyModel.matrix]?.bytes)
    }

    @Test("one element that moves further than its row costs the row no more, and rows that do not move stay bit by bit")
    func outlier() async throws {
        var target = TinyModel()
        target.change(TinyModel.matrix) {
            for index in 0..<8 { $0[index] += index % 4 == 0 ? 0.002 : 0.0001 }
        }
        let (product, tensors) = try await made(TinyModel(), target, .compact)
        #expect(product.plan.frames.map(\.encoding) == [.compact])
        let (wanted, found) = (widened(target.tensors[TinyModel.matrix]!.bytes, .f32), widened(tensors[TinyModel.matrix]!, .f32))
        #expect(zip(wanted, found).allSatisfy { abs($0 - $1) <= 0.001 / 8 / 2 * 1.05 })
        #expect(zip(wanted, found).dropFirst(8).allSatisfy { $0.bitPattern == $1.bitPattern })
    }

    @Test("where codes cannot say it, compact falls back to exact: overflow, zeros that change their sign, the largest numbers")
    func fallBack() async throws {
        let most = Float.greatestFiniteMagnitude
        for (before, after) in [(-most, most), (0, -0.0), (most / 2, most)] as [(Float, Float)] {
            var base = TinyModel(), target = TinyModel()
            base.change(TinyModel.matrix) { for index in $0.indices { $0[index] = before } }
            target.change(TinyModel.matrix) { for index in $0.indices { $0[index] = index % 3 == 0 ? after : after / 3 } }
            let (_, tensors) = try await made(base, target, .compact)
            #expect(widened(tensors[TinyModel.matrix]!, .f32).allSatisfy { $0.isFinite })
            if before <= 0 { #expect(tensors[TinyModel.matrix] == target.tensors[TinyModel.matrix]?.bytes) }
        }
    }

    @Test("a tied base's decoder that differs in a few rows is these rows of the word embeddings", arguments: dtypes)
    func rows(dtype: DType) async throws {
        var target = TinyModel(dtype)
        target.change(TinyModel.decoder) { for index in 12..<20 { $0[index] = 1 } }
        let (product, tensors) = try await made(TinyModel(dtype), target, .exact)
        let frame = try #require(product.plan.frames.first)
        #expect(frame.operation == .rows && frame.encoding == .raw && frame.exact == 4 + 2 * (4 + 4 * dtype.width))
        #expect(tensors == [TinyModel.decoder: target.tensors[TinyModel.decoder]!.bytes])
        #expect(try await product.plan.target == target.identity().fingerprint)
        let (back, _) = try await made(target, TinyModel(dtype), .exact)
        #expect(try await back.plan.target == TinyModel(dtype).identity().fingerprint)
    }

    @Test("what has nothing to do with its source is replaced")
    func replace() async throws {
        var random = SplitMix(state: 4)
        var target = TinyModel()
        target.change(TinyModel.words) { for index in $0.indices { $0[index] = .init(bitPattern: .random(in: 0..<0x7F00_0000, using: &random)) } }
        let (product, tensors) = try await made(TinyModel(), target, .exact)
        #expect(product.plan.frames.map(\.operation) == [.replace])
        #expect(tensors[TinyModel.words] == target.tensors[TinyModel.words]?.bytes)
    }

    @Test("a calibration alone is a patch without frames; without one the base's goes on")
    func calibration() async throws {
        var calibrated = TinyModel()
        calibrated.calibration = "{\"temperature\":1.25}"
        let (product, tensors) = try await made(TinyModel(), calibrated, .exact)
        #expect(tensors.isEmpty && product.plan.calibration == calibrated.calibration)
        var target = TinyModel()
        target.change(TinyModel.vector) { $0[0] += 1 }
        #expect(try await made(calibrated, target, .exact).0.plan.calibration == calibrated.calibration)
    }

    @Test("compact is two roundings, base + round(scale · code), whatever the CPU has; then one to the dtype", arguments: dtypes)
    func twoRoundings(dtype: DType) async throws {
        let base = TinyModel(), identity = try await base.identity()
        var random = SplitMix(state: 5)
        let scales = (0..<6).map { _ in Float.random(in: 1e-4...1e-3, using: &random) } + [.leastNonzeroMagnitude]
        let codes = (0..<24).map { _ in Int8.random(in: .min ... .max, using: &random) }
        let before = widened(base.tensors[TinyModel.matrix]!.bytes, .f32)
        let after = before.indices.map { index -> Float in
            let step = Float(Double(scales[index / 4]) * Double(codes[index]))
            return before[index] + step
        }
        let fused = before.indices.map { before[$0].addingProduct(scales[$0 / 4], Float(codes[$0])) }
        #expect(after != fused, "these numbers would not tell")
        let bytes = stored(after, dtype)
        var expected = base
        expected.tensors[TinyModel.matrix] = .init(dtype: dtype, shape: [6, 4], bytes: bytes)
        var forge = Forge(base: identity.fingerprint, target: try await expected.identity().fingerprint)
        forge.add(
            TinyModel.matrix, [6, 4], "delta", "compact", little(scales.prefix(6).map(\.bitPattern)) + codes.map(UInt8.init(bitPattern:)),
            result: bytes, dtype: dtype)
        #expect(try applied(forge.signed(), to: base.contents(), identity).1 == [TinyModel.matrix: bytes])
    }

    @Test("the planes of exact are those of the format", arguments: dtypes)
    func planes(dtype: DType) async throws {
        let base = TinyModel(dtype), identity = try await base.identity()
        let before = widened(base.tensors[TinyModel.matrix]!.bytes, dtype)
        let after = before.indices.map { index in [-before[index], before[index].nextUp, 0, -0.0, 0x1p-130, before[index] * 2][index % 6] }
        let zigzag = zip(before, after).map { from, to -> UInt32 in
            func place(_ float: Float) -> Int64 { float.sign == .minus ? -1 - Int64(float.magnitude.bitPattern) : Int64(float.bitPattern) }
            let difference = Int32(truncatingIfNeeded: place(to) - place(from))
            return UInt32(bitPattern: difference << 1 ^ difference >> 31)
        }
        let planes = (0..<4).flatMap { plane in zigzag.map { UInt8(truncatingIfNeeded: $0 >> (8 * plane)) } }
        let bytes = little(after.map(\.bitPattern))
        var expected = base
        expected.tensors[TinyModel.matrix] = .init(dtype: .f32, shape: [6, 4], bytes: bytes)
        var forge = Forge(base: identity.fingerprint, target: try await expected.identity().fingerprint)
        forge.add(TinyModel.matrix, [6, 4], "delta", "exact", planes, result: bytes)
        #expect(try applied(forge.signed(), to: base.contents(), identity).1 == [TinyModel.matrix: bytes])
    }

    @Test("what no patch can join, or cannot be written, is refused")
    func unlike() async throws {
        let base = TinyModel(), identity = try await base.identity()
        var infinite = TinyModel()
        infinite.change(TinyModel.vector) { $0[3] = .infinity }
        for (target, dossier, words) in [
            (TinyModel(), nil, "target: expected a difference"), (infinite, nil, "element 3: expected a finite number, found NaN or infinity"),
        ] as [(TinyModel, JSON?, String)] {
            do {
                _ = try await PatchMaker(base: base.contents(), target: target.contents(), recipe: recipe(.exact, identity, dossier: dossier)).make()
                Issue.record("made")
            } catch { #expect("\(error)".contains(words), "\(error)") }
        }
        var deep = JSON.integer(1)
        for _ in 0..<64 { deep = .object([.init("a", deep)]) }
        var target = TinyModel()
        target.change(TinyModel.vector) { $0[3] += 1 }
        await #expect(throws: PatchError.self) {
            try await PatchMaker(base: base.contents(), target: target.contents(), recipe: recipe(.exact, identity, dossier: deep)).make()
        }
    }
}
