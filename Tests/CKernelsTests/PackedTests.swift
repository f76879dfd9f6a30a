import CKernels
import Testing

/// An instruction set that this machine has.
struct InstructionSet: @unchecked Sendable, CustomTestStringConvertible {
    let kernels: tk_kernels
    var testDescription: String { String(cString: kernels.name) }

    nonisolated(unsafe) static let reference = tk_kernels_for(TK_ISA_SCALAR)!.pointee
    static let vectors = [TK_ISA_AVX2, TK_ISA_AVXVNNI, TK_ISA_AVX512VNNI].compactMap { isa in
        tk_kernels_for(isa).map { InstructionSet(kernels: $0.pointee) }
    }
    static let all = [InstructionSet(kernels: reference)] + vectors
}

/// The same numbers in every run.
struct Dice: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    /// Steele et al. 2014 (SplitMix64)
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }
}

/// Bytes between walls: whoever writes past either end is found out.
private final class Memory {
    private let all: UnsafeMutableRawBufferPointer
    private let offset: Int
    let count: Int
    private static let wall: UInt8 = 0xA5

    /// - Parameter offset: from a cache line's start.
    init(_ count: Int, offset: Int = 0) {
        (self.count, self.offset) = (count, 64 + offset)
        all = .allocate(byteCount: count + 128 + offset, alignment: 64)
        for index in all.indices { all[index] = Self.wall }
    }

    deinit { all.deallocate() }

    var base: UnsafeMutableRawPointer { all.baseAddress! + offset }
    var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
    var bytes: [UInt8] { Array(all[offset..<offset + count]) }
    var isIntact: Bool {
        all[..<offset].allSatisfy { $0 == Self.wall } && all[(offset + count)...].allSatisfy { $0 == Self.wall }
    }
}

private final class QuantisedRows {
    let rows, columns, groups, depth, shift, width: Int
    let codes, scales: Memory

    init(_ kernels: tk_kernels, rows: Int, columns: Int, depth: Int, shift: Int) {
        (self.rows, self.columns, self.depth, self.shift) = (rows, columns, depth, shift)
        (groups, width) = ((columns + 63) / 64, Int(kernels.code_width))
        codes = Memory(rows * depth * groups * 64 * width)
        scales = Memory(rows * depth * groups * 4)
    }

    convenience init(_ kernels: tk_kernels, _ x: [Float], rows: Int, columns: Int, depth: Int, shift: Int) {
        self.init(kernels, rows: rows, columns: columns, depth: depth, shift: shift)
        var to = raw()
        kernels.quantise(&to, 0, Int64(rows), 0, x, Int64(columns), Int64(columns))
    }

    func raw(from row: Int = 0) -> tk_codes {
        tk_codes(
            codes: codes.base + row * depth * groups * 64 * width, scales: scales.floats + row * depth * groups,
            groups: Int64(groups), depth: Int64(depth), shift: Int32(shift))
    }

    /// Without their zero, whatever the instruction set's own layout.
    var plainCodes: [Int] {
        (0..<rows * depth * groups * 64).map { index in
            width == 1
                ? Int(codes.base.load(fromByteOffset: index, as: UInt8.self)) - 1 << shift
                : Int(codes.base.load(fromByteOffset: 2 * index, as: Int16.self))
        }
    }
    var plainScales: [Float] { (0..<rows * depth * groups).map { scales.floats[$0] } }

    /// What the codes stand for: `[rows][columns]`.
    var values: [Float] {
        let (codes, scales) = (plainCodes, plainScales)
        return (0..<rows * columns).map { index in
            let (row, column) = index.quotientAndRemainder(dividingBy: columns)
            return (0..<depth).reduce(0) { sum, part in
                let group = (row * depth + part) * groups + column / 64
                return sum + Float(codes[group * 64 + column % 64]) * scales[group]
            }
        }
    }

    /// Steps of the last codes, by element.
    var steps: [Float] {
        let scales = plainScales
        return (0..<rows * columns).map { scales[($0 / columns * depth + depth - 1) * groups + $0 % columns / 64] }
    }
    var isIntact: Bool { codes.isIntact && scales.isIntact }
}

private struct Matrix {
    let outputs, inputs, planes: Int
    let bytes: Memory

    init(_ kernels: tk_kernels, _ w: [Float], outputs: Int, inputs: Int, planes: Int, offset: Int = 0) {
        self = w.withUnsafeBytes {
            Matrix(kernels, stored: $0.baseAddress!, TK_F32, outputs: outputs, inputs: inputs, planes: planes, offset: offset)
        }
    }

    init(
        _ kernels: tk_kernels, stored w: UnsafeRawPointer, _ dtype: tk_dtype, outputs: Int, inputs: Int, planes: Int,
        offset: Int = 0, cuts: [Int] = []
    ) {
        (self.outputs, self.inputs, self.planes) = (outputs, inputs, planes)
        bytes = Memory(planes * Int(tk_packed_bytes(Int64(outputs), Int64(inputs))), offset: offset)
        let scratch = Memory(Int(tk_pack_scratch(Int64(inputs))) * 4)
        for (first, end) in zip([0] + cuts, cuts + [(outputs + 47) / 48]) {
            kernels.pack(
                bytes.base, w, dtype, Int64(outputs), Int64(inputs), Int64(planes), Int64(first), Int64(end), scratch.floats)
        }
        expect(bytes.isIntact && scratch.isIntact)
    }
}

private struct Layer {
    var matrix: Matrix
    var bias: [Float]?
    var residual: [Float]?
    var activation = TK_IDENTITY

    static let untouched: Float = -12345.5

    private func run(
        _ kernels: tk_kernels, _ x: tk_codes, rows: Int, first: Int, y: UnsafeMutablePointer<Float>?, ldy: Int, ranges: [Range<Int>],
        _ quantised: UnsafePointer<tk_codes>?
    ) {
        let n = matrix.outputs
        let scratch = Memory(Int(tk_packed_scratch(Int64(rows))) * 4)
        (bias ?? []).withUnsafeBufferPointer { bias in
            (residual ?? []).withUnsafeBufferPointer { rest in
                var job = tk_packed(
                    x: x, w: matrix.bytes.base, planes: Int64(matrix.planes), bias: self.bias == nil ? nil : bias.baseAddress,
                    residual: residual == nil ? nil : rest.baseAddress! + first * n, ldr: Int64(n), y: y, ldy: Int64(ldy),
                    m: Int64(rows), n: Int64(n), activation: activation, quantised: quantised)
                for range in ranges { kernels.packed(&job, Int64(range.lowerBound), Int64(range.upperBound), scratch.floats) }
            }
        }
        expect(scratch.isIntact)
    }

    /// `[rows][outputs + 3]`, `untouched` where nothing was written.
    func callAsFunction(
        _ kernels: tk_kernels, _ x: QuantisedRows, rows: Range<Int>? = nil, columns: [Range<Int>]? = nil
    ) -> [Float] {
        let rows = rows ?? 0..<x.rows
        let ldy = matrix.outputs + 3
        let y = Memory(rows.count * ldy * 4)
        for index in 0..<rows.count * ldy { y.floats[index] = Self.untouched }
        run(
            kernels, x.raw(from: rows.lowerBound), rows: rows.count, first: rows.lowerBound, y: y.floats, ldy: ldy,
            ranges: columns ?? [0..<matrix.outputs], nil)
        expect(y.isIntact)
        return (0..<rows.count * ldy).map { y.floats[$0] }
    }

    func quantised(
        _ kernels: tk_kernels, _ x: QuantisedRows, rows: Range<Int>? = nil, depth: Int, shift: Int, columns: [Range<Int>]? = nil
    ) -> QuantisedRows {
        let rows = rows ?? 0..<x.rows
        let y = QuantisedRows(kernels, rows: rows.count, columns: matrix.outputs, depth: depth, shift: shift)
        var raw = y.raw()
        run(
            kernels, x.raw(from: rows.lowerBound), rows: rows.count, first: rows.lowerBound, y: nil, ldy: 0,
            ranges: columns ?? [0..<matrix.outputs], &raw)
        expect(y.isIntact)
        return y
    }
}

/// A layer of random size with all that belongs to it.
private struct Sample: CustomStringConvertible {
    let m, n, k, planes, depth, shift: Int
    let x, w: [Float]
    let bias, residual: [Float]?
    let activation: tk_activation

    init(_ dice: inout Dice, m: ClosedRange<Int> = 1...19, n: ClosedRange<Int> = 1...400, k: ClosedRange<Int> = 1...900) {
        self.m = .random(in: m, using: &dice)
        self.n = .random(in: n, using: &dice)
        self.k = .random(in: k, using: &dice)
        planes = .random(in: 1...2, using: &dice)
        depth = .random(in: 1...2, using: &dice)
        shift = Bool.random(using: &dice) ? 5 : 7
        x = dice.floats(self.m * self.k, in: shift == 7 ? -3...3 : -0.17...3)
        let most = 1 / Float(self.k).squareRoot()
        w = dice.floats(self.n * self.k, in: -most...most)
        bias = Bool.random(using: &dice) ? dice.floats(self.n) : nil
        residual = Bool.random(using: &dice) ? dice.floats(self.m * self.n) : nil
        activation = [TK_IDENTITY, TK_GELU, TK_GELU_TANH, TK_RELU].randomElement(using: &dice)!
    }

    func layer(_ kernels: tk_kernels, offset: Int = 0) -> Layer {
        Layer(
            matrix: Matrix(kernels, w, outputs: n, inputs: k, planes: planes, offset: offset), bias: bias, residual: residual,
            activation: activation)
    }

    func rows(_ kernels: tk_kernels) -> QuantisedRows {
        QuantisedRows(kernels, x, rows: m, columns: k, depth: depth, shift: shift)
    }

    var description: String {
        "\(m) × \(n) × \(k), planes \(planes), depth \(depth), shift \(shift), activation \(activation.rawValue), "
            + "bias \(bias != nil), residual \(residual != nil)"
    }
}

/// Ranges that make up 0..<count together, cut at multiples of `unit`.
private func cuts(of count: Int, unit: Int = 1, _ dice: inout Dice) -> [Range<Int>] {
    var ranges: [Range<Int>] = [], start = 0
    while start < count {
        let end = min(count, (start / unit + .random(in: 1...max(1, count / unit / 2 + 1), using: &dice)) * unit)
        ranges.append(start..<end)
        start = end
    }
    return ranges.shuffled(using: &dice)
}

/// Like `#expect`, which would describe arrays of thousands of numbers, and what differs between them, for minutes.
private func expect(
    _ isSo: Bool, _ comment: @autoclosure () -> String = "", at place: SourceLocation = #_sourceLocation
) {
    if !isSo { Issue.record(Comment(rawValue: comment()), sourceLocation: place) }
}

private func near(_ a: [Float], _ b: [Float], _ tolerance: Float) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { x, y in x == y || abs(x - y) <= tolerance * max(1, abs(y)) }
}

/// `[rows][columns]` out of `[rows][columns + 3]`.
private func dense(_ y: [Float], _ columns: Int) -> [Float] {
    stride(from: 0, to: y.count, by: columns + 3).flatMap { y[$0..<$0 + columns] }
}

@Suite("eight bits: every instruction set computes what the scalar reference computes")
struct PackedTests {
    private let reference = InstructionSet.reference

    @Test("quantised rows have the same codes and scales", arguments: InstructionSet.vectors)
    func quantise(table: InstructionSet) {
        var dice = Dice(1)
        for _ in 0..<120 {
            let rows = Int.random(in: 1...5, using: &dice), columns = Int.random(in: 1...300, using: &dice)
            let depth = Int.random(in: 1...2, using: &dice), shift = Bool.random(using: &dice) ? 5 : 7
            let size = Float.random(in: 0.001...1000, using: &dice)
            let x = dice.floats(rows * columns, in: -size...size)
            let a = QuantisedRows(table.kernels, x, rows: rows, columns: columns, depth: depth, shift: shift)
            let b = QuantisedRows(reference, x, rows: rows, columns: columns, depth: depth, shift: shift)
            expect(a.isIntact && b.isIntact)
            expect(a.plainCodes == b.plainCodes, "\(rows) × \(columns), depth \(depth), shift \(shift)")
            expect(a.plainScales == b.plainScales, "\(rows) × \(columns), depth \(depth), shift \(shift)")
            // Half a step off at most, and rounding.
            for ((value, step), exact) in zip(zip(a.values, a.steps), x) {
                expect(abs(value - exact) <= step * 0.5001 + abs(exact) * 2e-7)
            }
        }
    }

    @Test("rows and groups quantised apart are those quantised together", arguments: InstructionSet.all)
    func quantiseInParts(table: InstructionSet) {
        var dice = Dice(2)
        let (rows, columns) = (5, 300)
        let x = dice.floats(rows * columns)
        for depth in 1...2 {
            let whole = QuantisedRows(table.kernels, x, rows: rows, columns: columns, depth: depth, shift: 7)
            let parts = QuantisedRows(table.kernels, rows: rows, columns: columns, depth: depth, shift: 7)
            var to = parts.raw()
            for row in (0..<rows).reversed() {
                for (group, end) in [(3, 300), (0, 64), (1, 192)] {
                    x.withUnsafeBufferPointer {
                        table.kernels.quantise(
                            &to, Int64(row), 1, Int64(group), $0.baseAddress! + row * columns + group * 64, Int64(columns),
                            Int64(end - group * 64))
                    }
                }
            }
            expect(parts.plainCodes == whole.plainCodes && parts.plainScales == whole.plainScales)
        }
    }

    @Test("packed bytes are identical, of every stored type and however tiles are split", arguments: InstructionSet.vectors)
    func pack(table: InstructionSet) {
        var dice = Dice(3)
        for _ in 0..<40 {
            let n = Int.random(in: 1...400, using: &dice), k = Int.random(in: 1...900, using: &dice)
            let planes = Int.random(in: 1...2, using: &dice), tiles = (n + 47) / 48
            let w = dice.floats(n * k, in: -0.1...0.1)
            check(TK_F32, w.withUnsafeBytes(Array.init))
            check(TK_F16, w.flatMap { [UInt8(Float16($0).bitPattern & 255), UInt8(Float16($0).bitPattern >> 8)] })
            check(TK_BF16, w.flatMap { [UInt8($0.bitPattern >> 16 & 255), UInt8($0.bitPattern >> 24)] })

            func check(_ dtype: tk_dtype, _ stored: [UInt8]) {
                // An odd address: tensors of a file need not be aligned.
                ([0] + stored).withUnsafeBytes { raw in
                    let address = raw.baseAddress! + 1
                    let expected = Matrix(reference, stored: address, dtype, outputs: n, inputs: k, planes: planes).bytes.bytes
                    let whole = Matrix(table.kernels, stored: address, dtype, outputs: n, inputs: k, planes: planes)
                    let parts = Matrix(
                        table.kernels, stored: address, dtype, outputs: n, inputs: k, planes: planes,
                        cuts: [tiles / 3, tiles / 2])
                    expect(whole.bytes.bytes == expected, "\(n) × \(k), planes \(planes), type \(dtype.rawValue)")
                    expect(parts.bytes.bytes == expected, "\(n) × \(k), planes \(planes), type \(dtype.rawValue), in parts")
                }
            }
        }
    }

    @Test("a packed matrix stands for the weights it was made of, its second plane for what the first leaves over")
    func packedWeights() {
        var dice = Dice(4)
        let (n, k) = (100, 200)
        let w = dice.floats(n * k)
        for (planes, allowed) in [(1, 0.0041), (2, 0.00002)] as [(Int, Float)] {
            let bytes = Matrix(reference, w, outputs: n, inputs: k, planes: planes).bytes.bytes
            for index in w.indices {
                let (output, input) = index.quotientAndRemainder(dividingBy: k)
                let value = (0..<planes).reduce(Float(0)) { sum, plane in
                    let block = plane * Int(tk_packed_bytes(Int64(n), Int64(k))) + (output / 48 * ((k + 63) / 64) + input / 64) * 3264
                    let scale = Float(bitPattern: UInt32(bytes[block + 2 * (output % 48)]) << 16 | UInt32(bytes[block + 2 * (output % 48) + 1]) << 24)
                    let code = Int8(bitPattern: bytes[block + 192 + (input % 64 / 4 * 48 + output % 48) * 4 + input % 4])
                    return sum + scale * Float(code)
                }
                expect(abs(value - w[index]) <= allowed, "output \(output), input \(input), planes \(planes)")
            }
        }
    }

    @Test("layers of every size, with what follows them", arguments: InstructionSet.vectors)
    func layers(table: InstructionSet) {
        var dice = Dice(5)
        for _ in 0..<60 {
            let sample = Sample(&dice)
            let y = sample.layer(table.kernels, offset: .random(in: 0...63, using: &dice))(table.kernels, sample.rows(table.kernels))
            expect(near(y, sample.layer(reference)(reference, sample.rows(reference)), 1e-5), "\(sample)")
        }
    }

    @Test("a row is the same beside any other rows, and however columns are split", arguments: InstructionSet.all)
    func independence(table: InstructionSet) {
        var dice = Dice(6)
        for _ in 0..<25 {
            let sample = Sample(&dice)
            let (layer, x) = (sample.layer(table.kernels), sample.rows(table.kernels))
            let whole = layer(table.kernels, x)
            expect(layer(table.kernels, x, columns: cuts(of: sample.n, &dice)) == whole, "\(sample)")
            expect(layer(table.kernels, x, columns: cuts(of: sample.n, unit: 48, &dice)) == whole, "\(sample)")
            let ld = sample.n + 3
            for rows in cuts(of: sample.m, &dice) + (0..<sample.m).map({ $0..<$0 + 1 }) {
                let part = layer(table.kernels, x, rows: rows)
                expect(part == Array(whole[rows.lowerBound * ld..<rows.upperBound * ld]), "rows \(rows) of \(sample)")
            }
        }
    }

    @Test("the same of layers as deep as a large model's, and of as many rows as are computed together", arguments: InstructionSet.vectors)
    func large(table: InstructionSet) {
        var dice = Dice(14)
        for (rows, inputs) in [(1...5, 901...1700), (33...70, 1...300), (100...140, 700...900)] as [(ClosedRange<Int>, ClosedRange<Int>)] {
            for _ in 0..<3 {
                let sample = Sample(&dice, m: rows, n: 49...150, k: inputs)
                let (layer, x) = (sample.layer(table.kernels), sample.rows(table.kernels))
                let whole = layer(table.kernels, x)
                expect(near(whole, sample.layer(reference)(reference, sample.rows(reference)), 1e-5), "\(sample)")
                expect(layer(table.kernels, x, columns: cuts(of: sample.n, &dice)) == whole, "\(sample)")
                let ld = sample.n + 3
                for row in 0..<sample.m {
                    expect(layer(table.kernels, x, rows: row..<row + 1) == Array(whole[row * ld..<(row + 1) * ld]), "row \(row) of \(sample)")
                }
                let codes = layer.quantised(table.kernels, x, depth: sample.depth, shift: 5)
                for row in [0, sample.m / 2, sample.m - 1] {
                    let alone = layer.quantised(table.kernels, x, rows: row..<row + 1, depth: sample.depth, shift: 5)
                    let (size, groups) = (codes.depth * codes.groups * 64, codes.depth * codes.groups)
                    expect(alone.plainCodes == Array(codes.plainCodes[row * size..<(row + 1) * size]), "row \(row) of \(sample)")
                    expect(alone.plainScales == Array(codes.plainScales[row * groups..<(row + 1) * groups]), "row \(row) of \(sample)")
                }
            }
        }
    }

    @Test("columns that are not asked for are not touched", arguments: InstructionSet.all)
    func untouched(table: InstructionSet) {
        var dice = Dice(7)
        for _ in 0..<40 {
            let sample = Sample(&dice)
            let (layer, x) = (sample.layer(table.kernels), sample.rows(table.kernels))
            let whole = layer(table.kernels, x)
            let first = Int.random(in: 0...sample.n, using: &dice), end = Int.random(in: first...sample.n, using: &dice)
            let part = layer(table.kernels, x, columns: [first..<end])
            for (index, value) in part.enumerated() {
                let isAsked = (first..<end).contains(index % (sample.n + 3))
                expect(value == (isAsked ? whole[index] : Layer.untouched), "\(first)..<\(end) of \(sample)")
            }
        }
    }

    @Test("a layer that goes out as codes is the layer and then its codes", arguments: InstructionSet.all)
    func fused(table: InstructionSet) {
        var dice = Dice(8)
        for _ in 0..<40 {
            let sample = Sample(&dice, n: 1...800, k: 1...300)
            let (layer, x) = (sample.layer(table.kernels), sample.rows(table.kernels))
            let depth = Int.random(in: 1...2, using: &dice), shift = Bool.random(using: &dice) ? 5 : 7
            let codes = layer.quantised(table.kernels, x, depth: depth, shift: shift)
            let inParts = layer.quantised(
                table.kernels, x, depth: depth, shift: shift, columns: cuts(of: sample.n, unit: 192, &dice))
            expect(inParts.plainCodes == codes.plainCodes && inParts.plainScales == codes.plainScales, "\(sample)")

            let y = dense(layer(table.kernels, x), sample.n)
            let expected = QuantisedRows(table.kernels, y, rows: sample.m, columns: sample.n, depth: depth, shift: shift)
            if sample.activation != TK_GELU {
                expect(codes.plainCodes == expected.plainCodes && codes.plainScales == expected.plainScales, "\(sample)")
            }
            // GELU that becomes codes is a quicker one, to 2e-4.
            for ((value, step), exact) in zip(zip(codes.values, codes.steps), y) {
                expect(abs(value - exact) <= 2.1e-4 + step * 0.501 + abs(exact) * 1e-6, "\(sample)")
            }
        }
    }

    @Test("the largest codes against the largest weights do not saturate", arguments: InstructionSet.all, [5, 7])
    func extremes(table: InstructionSet, shift: Int) {
        let (m, n, k) = (9, 100, 900)
        let zero = Float(1 << shift)
        // Each group's scales come out as 1, so that codes are the numbers themselves.
        for (value, name) in [(255 - zero, "255"), (-zero, "0")] {
            let x = QuantisedRows(table.kernels, .init(repeating: value, count: m * k), rows: m, columns: k, depth: 1, shift: shift)
            expect(x.plainScales.allSatisfy { $0 == 1 })
            for sign in [{ _ in 1 }, { _ in -1 }, { $0 % 2 == 0 ? 1 : -1 }, { $0 % 4 < 2 ? 1 : -1 }] as [(Int) -> Int] {
                let w = (0..<n * k).map { Float(127 * sign($0 % k)) }
                let expected = Float((0..<k).reduce(0) { $0 + Int(value) * 127 * sign($1) })
                let y = dense(Layer(matrix: Matrix(table.kernels, w, outputs: n, inputs: k, planes: 1))(table.kernels, x), n)
                expect(y.allSatisfy { $0 == expected }, "code \(name): \(y[0]), expected \(expected)")
            }
        }
    }

    @Test("a row of zeros is what bias and residual are", arguments: InstructionSet.all)
    func zeros(table: InstructionSet) {
        var dice = Dice(9)
        let (m, n, k) = (5, 77, 130)
        var x = dice.floats(m * k)
        for index in 2 * k..<3 * k { x[index] = index % 2 == 0 ? 0 : -0.0 }
        let bias = dice.floats(n), residual = dice.floats(m * n)
        for depth in 1...2 {
            for (w, planes) in [(dice.floats(n * k), 1), (dice.floats(n * k), 2), ([Float](repeating: 0, count: n * k), 2)] {
                let rows = QuantisedRows(table.kernels, x, rows: m, columns: k, depth: depth, shift: 7)
                let layer = Layer(
                    matrix: Matrix(table.kernels, w, outputs: n, inputs: k, planes: planes), bias: bias, residual: residual)
                let y = dense(layer(table.kernels, rows), n)
                for row in w.allSatisfy({ $0 == 0 }) ? 0..<m : 2..<3 {
                    for column in 0..<n { expect(y[row * n + column] == residual[row * n + column] + bias[column]) }
                }
            }
        }
    }

    @Test("a NaN or an infinity is not lost, and stays in its row", arguments: InstructionSet.all, [1, 2])
    func notFinite(table: InstructionSet, depth: Int) {
        var dice = Dice(10)
        let (m, n, k) = (9, 100, 200)
        let x = dice.floats(m * k)
        for shift in [5, 7] {
            let layer = Layer(matrix: Matrix(table.kernels, dice.floats(n * k), outputs: n, inputs: k, planes: 1))
            func run(_ x: [Float]) -> [Float] {
                dense(layer(table.kernels, QuantisedRows(table.kernels, x, rows: m, columns: k, depth: depth, shift: shift)), n)
            }
            let good = run(x)
            for bad in [Float.nan, -.nan, .infinity, -.infinity, .signalingNaN] {
                for place in [0, 63, 64, 130, 199] {
                    var spoiled = x
                    spoiled[4 * k + place] = bad
                    let y = run(spoiled)
                    for row in 0..<m {
                        let values = y[row * n..<(row + 1) * n]
                        if row == 4 { expect(values.allSatisfy { !$0.isFinite }, "\(bad) at \(place)") } else {
                            expect(values == good[row * n..<(row + 1) * n])
                        }
                    }
                    // And through a layer that goes out as codes.
                    for activation in [TK_IDENTITY, TK_GELU, TK_GELU_TANH, TK_RELU] {
                        var next = layer
                        next.activation = activation
                        let rows = QuantisedRows(table.kernels, spoiled, rows: m, columns: k, depth: depth, shift: shift)
                        let codes = next.quantised(table.kernels, rows, depth: depth, shift: 5)
                        let groups = codes.groups * depth
                        if bad.isNaN { expect(codes.plainScales[4 * groups..<5 * groups].allSatisfy { !$0.isFinite }) }
                        expect(codes.plainScales[..<(4 * groups)].allSatisfy { $0.isFinite })
                    }
                }
            }
        }
    }

    @Test("numbers too small for a reciprocal stay finite and small", arguments: InstructionSet.all, [1, 2])
    func tiny(table: InstructionSet, depth: Int) {
        let (n, k) = (50, 130)
        for size in [1e-36, 1e-37, 1e-38, 1e-40, 1e-43, .leastNonzeroMagnitude] as [Float] {
            let x = (0..<k).map { $0 % 3 == 0 ? 0 : $0 % 3 == 1 ? size : -size / 2 }
            let w = (0..<n * k).map { Float($0 % 7 - 3) }
            let rows = QuantisedRows(table.kernels, x, rows: 1, columns: k, depth: depth, shift: 7)
            let y = dense(Layer(matrix: Matrix(table.kernels, w, outputs: n, inputs: k, planes: 1))(table.kernels, rows), n)
            expect(y.allSatisfy { abs($0) <= 1e-33 }, "x of \(size): \(y[0])")

            let weights = (0..<n * k).map { $0 % 3 == 0 ? 0 : $0 % 3 == 1 ? size : -size / 2 }
            for planes in 1...2 {
                let small = Matrix(table.kernels, weights, outputs: n, inputs: k, planes: planes)
                expect(small.bytes.bytes == Matrix(reference, weights, outputs: n, inputs: k, planes: planes).bytes.bytes)
                let ones = QuantisedRows(table.kernels, .init(repeating: 1, count: k), rows: 1, columns: k, depth: depth, shift: 7)
                let z = dense(Layer(matrix: small)(table.kernels, ones), n)
                expect(z.allSatisfy { abs($0) <= 1e-33 }, "weights of \(size): \(z[0])")
            }
        }
    }

    /// Of y[m][n] as x[m][k] · w[n][k]ᵀ, root of the mean square.
    private func relativeError(of y: [Float], _ x: [Float], _ w: [Float], m: Int, n: Int, k: Int) -> Double {
        var off = 0.0, all = 0.0
        for row in 0..<m {
            for column in 0..<n {
                let exact = (0..<k).reduce(0.0) { $0 + Double(x[row * k + $1]) * Double(w[column * k + $1]) }
                off += (Double(y[row * n + column]) - exact) * (Double(y[row * n + column]) - exact)
                all += exact * exact
            }
        }
        return (off / all).squareRoot()
    }

    @Test("the error is that of eight bits, and of sixteen where both have two parts", arguments: InstructionSet.all)
    func error(table: InstructionSet) {
        var dice = Dice(11)
        for (planes, depth, allowed) in [(1, 1, 0.013), (2, 1, 0.01), (1, 2, 0.01), (2, 2, 0.0002)] as [(Int, Int, Double)] {
            let (m, n, k) = (5, 100, 777)
            let x = dice.floats(m * k), w = dice.floats(n * k)
            let rows = QuantisedRows(table.kernels, x, rows: m, columns: k, depth: depth, shift: 7)
            let y = dense(Layer(matrix: Matrix(table.kernels, w, outputs: n, inputs: k, planes: planes))(table.kernels, rows), n)
            let off = relativeError(of: y, x, w, m: m, n: n, k: k)
            expect(off <= allowed, "planes \(planes), depth \(depth): \(off)")
        }
    }

    @Test("of rows that eight bits hold exactly, what is off is the weights' part alone, and a second plane takes it away", arguments: InstructionSet.all)
    func weightsPart(table: InstructionSet) {
        var dice = Dice(15)
        let (m, n, k) = (5, 100, 777)
        // The largest of each group makes its scale 1.
        let x = (0..<m * k).map { $0 % k % 64 == 0 ? 127 : Float(Int.random(in: -127...127, using: &dice)) }
        let w = dice.floats(n * k)
        let rows = QuantisedRows(table.kernels, x, rows: m, columns: k, depth: 1, shift: 7)
        expect(rows.values == x)
        for (planes, allowed) in [(1, 0.008), (2, 0.0001)] as [(Int, Double)] {
            let y = dense(Layer(matrix: Matrix(table.kernels, w, outputs: n, inputs: k, planes: planes))(table.kernels, rows), n)
            let off = relativeError(of: y, x, w, m: m, n: n, k: k)
            expect(off <= allowed, "planes \(planes): \(off)")
        }
    }
}

@Suite("attention and single outputs: every instruction set computes what the scalar reference computes")
struct AttentionTests {
    private func attend(
        _ kernels: tk_kernels, q: [Float], k: [Float], v: [Float], queries: Range<Int>, nk: Int, head: Int, stride: Int
    ) -> [Float] {
        let out = Memory(queries.count * stride * 4)
        let scratch = Memory(Int(tk_attend_scratch(Int64(nk), Int64(head))) * 4)
        for index in 0..<queries.count * stride { out.floats[index] = 7 }
        q.withUnsafeBufferPointer {
            kernels.attend(
                $0.baseAddress! + queries.lowerBound * stride, Int64(stride), k, Int64(stride), v, Int64(stride), out.floats,
                Int64(stride), Int64(queries.count), Int64(nk), Int64(head), 1 / Float(head).squareRoot(), scratch.floats)
        }
        expect(out.isIntact && scratch.isIntact)
        return (0..<queries.count * stride).map { out.floats[$0] }
    }

    @Test("lengths 1 to 70, heads 1 to 80; a query does not depend on how many there are", arguments: InstructionSet.vectors)
    func attention(table: InstructionSet) {
        var dice = Dice(12)
        let sizes = (1...70).map { ($0, Int.random(in: 1...80, using: &dice)) } + (1...80).map { (Int.random(in: 1...70, using: &dice), $0) }
        for (nk, head) in sizes {
            let stride = head + Int.random(in: 0...9, using: &dice), nq = 17
            let q = dice.floats(nq * stride, in: -3...3), k = dice.floats(nk * stride, in: -3...3), v = dice.floats(nk * stride)
            func run(_ kernels: tk_kernels, _ queries: Range<Int>) -> [Float] {
                attend(kernels, q: q, k: k, v: v, queries: queries, nk: nk, head: head, stride: stride)
            }
            let all = run(table.kernels, 0..<nq)
            expect(near(all, run(InstructionSet.reference, 0..<nq), 3e-6), "\(nk) keys, head \(head)")
            for rows in (0..<nq).map({ $0..<$0 + 1 }) + [0..<2, 3..<8, 4..<16, 1..<17] {
                let part = run(table.kernels, rows)
                expect(part == Array(all[rows.lowerBound * stride..<rows.upperBound * stride]), "\(rows), \(nk) keys, head \(head)")
            }
        }
    }

    @Test("one output for one row, of every stored type, at any address", arguments: InstructionSet.vectors)
    func dot(table: InstructionSet) {
        var dice = Dice(13)
        for k in Array(0...200) + [255, 256, 257, 767, 768, 769, 900] {
            let x = dice.floats(k), w = dice.floats(k)
            let size = zip(x, w).reduce(0) { $0 + abs($1.0 * $1.1) }
            check(TK_F32, w.withUnsafeBytes(Array.init))
            check(TK_F16, w.flatMap { [UInt8(Float16($0).bitPattern & 255), UInt8(Float16($0).bitPattern >> 8)] })
            check(TK_BF16, w.flatMap { [UInt8($0.bitPattern >> 16 & 255), UInt8($0.bitPattern >> 24)] })

            func check(_ dtype: tk_dtype, _ stored: [UInt8]) {
                ([0] + stored).withUnsafeBytes { raw in
                    let a = table.kernels.dot(x, raw.baseAddress! + 1, dtype, Int64(k))
                    let b = InstructionSet.reference.dot(x, raw.baseAddress! + 1, dtype, Int64(k))
                    expect(abs(a - b) <= 1e-6 * size, "\(k), type \(dtype.rawValue)")
                }
            }
        }
    }
}
