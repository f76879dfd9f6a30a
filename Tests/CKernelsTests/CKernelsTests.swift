import CKernels
import Glibc
import Testing

@Suite("every instruction set computes what the scalar reference computes")
struct CKernelsTests {
    private static let vectors = [TK_ISA_AVX2, TK_ISA_AVXVNNI, TK_ISA_AVX512VNNI].compactMap { isa in
        tk_kernels_for(isa).map { Table($0.pointee) }
    }
    private let reference = tk_kernels_for(TK_ISA_SCALAR)!.pointee

    struct Table: @unchecked Sendable, CustomTestStringConvertible {
        let kernels: tk_kernels
        init(_ kernels: tk_kernels) { self.kernels = kernels }
        var testDescription: String { String(cString: kernels.name) }
    }

    /// Values as activations have them, the same in every run.
    private func numbers(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Float(state >> 40) / Float(1 << 24) * 2 - 1) * scale
        }
    }

    private func near(_ a: [Float], _ b: [Float], _ tolerance: Float) -> Bool {
        zip(a, b).allSatisfy { x, y in x == y || abs(x - y) <= tolerance * max(1, abs(y)) || x.isNaN && y.isNaN }
    }

    /// A layer's output, its columns computed in the given slices.
    private func linear(
        _ kernels: tk_kernels, x: [Float], w: UnsafeRawPointer, dtype: tk_dtype, bias: [Float], residual: [Float]?,
        m: Int, n: Int, k: Int, activation: tk_activation, cuts: [Int]
    ) -> [Float] {
        var y = [Float](repeating: .nan, count: m * n)
        var scratch = [Float](repeating: 0, count: Int(tk_linear_scratch(Int64(k))))
        x.withUnsafeBufferPointer { x in
            bias.withUnsafeBufferPointer { bias in
                (residual ?? []).withUnsafeBufferPointer { rest in
                    y.withUnsafeMutableBufferPointer { y in
                        var job = tk_linear(
                            x: x.baseAddress, ldx: Int64(k), w: w, dtype: dtype, ldw: Int64(k), bias: bias.baseAddress,
                            residual: residual == nil ? nil : rest.baseAddress, ldr: Int64(n), y: y.baseAddress,
                            ldy: Int64(n), m: Int64(m), n: Int64(n), k: Int64(k), activation: activation)
                        for (from, to) in zip([0] + cuts, cuts + [n]) {
                            kernels.linear(&job, Int64(from), Int64(to), &scratch)
                        }
                    }
                }
            }
        }
        return y
    }

    @Test(
        "dense layers of every shape, dtype and activation", arguments: vectors,
        [(1, 1, 1), (2, 5, 7), (3, 6, 16), (4, 13, 33), (5, 48, 64), (7, 200, 96), (8, 31, 768), (9, 50, 1025), (33, 17, 3072)])
    func dense(table: Table, size: (Int, Int, Int)) {
        let (m, n, k) = size
        let x = numbers(m * k, seed: 1), bias = numbers(n, seed: 2), residual = numbers(m * n, seed: 3)
        let w = numbers(n * k, seed: 4, scale: 0.5)
        let halves = w.map { Float16($0).bitPattern }, bfloats = w.map { UInt16($0.bitPattern >> 16) }
        for activation in [TK_IDENTITY, TK_GELU, TK_GELU_TANH, TK_RELU] {
            w.withUnsafeBytes { check($0.baseAddress!, TK_F32, activation) }
            halves.withUnsafeBytes { check($0.baseAddress!, TK_F16, activation) }
            bfloats.withUnsafeBytes { check($0.baseAddress!, TK_BF16, activation) }
        }

        func check(_ weights: UnsafeRawPointer, _ dtype: tk_dtype, _ activation: tk_activation) {
            func run(_ kernels: tk_kernels, _ cuts: [Int]) -> [Float] {
                linear(
                    kernels, x: x, w: weights, dtype: dtype, bias: bias, residual: residual, m: m, n: n, k: k,
                    activation: activation, cuts: cuts)
            }
            let whole = run(table.kernels, [])
            // A vector's lane adds up 768 inputs, one after the other, and so does a sum its blocks.
            #expect(near(whole, run(reference, []), 1e-5 * max(1, Float(k) / 768)), "\(size) \(dtype) \(activation)")
            #expect(whole == run(table.kernels, [n / 3, n / 2]), "another split, another value: \(size)")
        }
    }

    @Test("a row's values do not depend on how many rows are beside it", arguments: vectors)
    func rows(table: Table) {
        let (n, k) = (29, 1500)
        let x = numbers(11 * k, seed: 5), w = numbers(n * k, seed: 6), bias = numbers(n, seed: 7)
        w.withUnsafeBytes { weights in
            func run(_ rows: Range<Int>) -> [Float] {
                linear(
                    table.kernels, x: Array(x[rows.lowerBound * k..<rows.upperBound * k]), w: weights.baseAddress!,
                    dtype: TK_F32, bias: bias, residual: nil, m: rows.count, n: n, k: k, activation: TK_GELU, cuts: [])
            }
            let all = run(0..<11)
            for first in 0..<11 {
                for end in (first + 1)...11 { #expect(run(first..<end) == Array(all[first * n..<end * n])) }
            }
        }
    }

    @Test("LayerNorm", arguments: vectors, [1, 5, 16, 31, 96, 768, 1000])
    func layerNorm(table: Table, h: Int) {
        let x = numbers(3 * h, seed: 8, scale: 9).map { $0 + 40 }, gamma = numbers(h, seed: 9), beta = numbers(h, seed: 10)
        var a = x, b = [Float](repeating: 0, count: x.count)
        table.kernels.layer_norm(&a, a, gamma, beta, 1e-12, 3, Int64(h))
        reference.layer_norm(&b, x, gamma, beta, 1e-12, 3, Int64(h))
        #expect(near(a, b, h == 1 ? 2 : 5e-5))
    }

    @Test("attention, for heads and lengths of every size", arguments: vectors, [8, 16, 24, 32, 64, 80, 100])
    func attention(table: Table, head: Int) {
        for (nq, nk) in [(1, 1), (1, 7), (3, 16), (4, 33), (6, 130), (9, 64)] {
            let q = numbers(nq * head, seed: 11, scale: 3), k = numbers(nk * head, seed: 12, scale: 3), v = numbers(nk * head, seed: 13)
            func run(_ kernels: tk_kernels, _ q: [Float], _ nq: Int) -> [Float] {
                var out = [Float](repeating: .nan, count: nq * head)
                var scratch = [Float](repeating: .nan, count: Int(tk_attend_scratch(Int64(nk), Int64(head))))
                kernels.attend(
                    q, Int64(head), k, Int64(head), v, Int64(head), &out, Int64(head), Int64(nq), Int64(nk), Int64(head),
                    1 / Float(head).squareRoot(), &scratch)
                return out
            }
            let all = run(table.kernels, q, nq)
            #expect(near(all, run(reference, q, nq), 2e-6), "\(nq) × \(nk)")
            for row in 0..<nq {
                #expect(run(table.kernels, Array(q[row * head..<(row + 1) * head]), 1) == Array(all[row * head..<(row + 1) * head]))
            }
        }
    }

    @Test("GELU over its whole range, tails included", arguments: vectors)
    func gelu(table: Table) {
        let x = stride(from: Float(-14), through: 14, by: 0.0137).map { $0 } + [0, -0.0, 1e-30, -1e-30, 1e-8, 30, -30, 3e38, -3e38]
        let one: [Float] = [1]
        for activation in [TK_GELU, TK_GELU_TANH] {
            let bias = [Float](repeating: 0, count: 1)
            let a = one.withUnsafeBytes { linear(table.kernels, x: x, w: $0.baseAddress!, dtype: TK_F32, bias: bias, residual: nil, m: x.count, n: 1, k: 1, activation: activation, cuts: []) }
            let b = one.withUnsafeBytes { linear(reference, x: x, w: $0.baseAddress!, dtype: TK_F32, bias: bias, residual: nil, m: x.count, n: 1, k: 1, activation: activation, cuts: []) }
            for (index, (p, q)) in zip(a, b).enumerated() {
                #expect(p == q || abs(p - q) <= 2e-7 * abs(x[index]), "\(activation) of \(x[index]): \(p), expected \(q)")
            }
        }
    }

    @Test("a NaN stays a NaN through every activation", arguments: vectors)
    func nan(table: Table) {
        let one: [Float] = [1]
        for activation in [TK_IDENTITY, TK_GELU, TK_GELU_TANH, TK_RELU] {
            let y = one.withUnsafeBytes { linear(table.kernels, x: [.nan], w: $0.baseAddress!, dtype: TK_F32, bias: [0], residual: nil, m: 1, n: 1, k: 1, activation: activation, cuts: []) }
            #expect(y[0].isNaN, "\(activation)")
        }
    }

    @Test("log of the sum of exponentials, far from overflow and near it", arguments: vectors)
    func logSumExp(table: Table) {
        for (count, scale) in [(1, 1), (15, 5), (100, 80), (7887, 20), (21128, 3000)] as [(Int, Float)] {
            let x = numbers(count, seed: 14, scale: scale)
            for inverse in [1, 0.5, 2] as [Float] {
                let a = table.kernels.log_sum_exp(x, Int64(count), inverse), b = reference.log_sum_exp(x, Int64(count), inverse)
                #expect(abs(a - b) <= 2e-6 * max(1, abs(b)), "\(count) \(scale) \(inverse)")
            }
        }
    }

    @Test("entropy, of what is sure, even, and in between", arguments: vectors)
    func entropy(table: Table) {
        for n in [1, 2, 7, 16, 33, 1000, 21_128] {
            for scale in [0, 0.5, 6, 60] as [Float] {
                let x = numbers(n, seed: UInt64(n), scale: scale)
                for inverse in [1, 0.5, 3] as [Float] {
                    let a = table.kernels.entropy(x, Int64(n), inverse, table.kernels.log_sum_exp(x, Int64(n), inverse))
                    let b = reference.entropy(x, Int64(n), inverse, reference.log_sum_exp(x, Int64(n), inverse))
                    #expect(abs(a - b) <= 5e-5 * max(1, b), "\(n) × \(scale): \(a), expected \(b)")
                    if scale == 0 { #expect(abs(Double(b) - log(Double(n))) < 1e-5) }
                }
            }
        }
    }

    @Test("widening is exact, subnormals and infinities included", arguments: vectors)
    func widen(table: Table) {
        let bits = (0...UInt16.max).map { $0 }
        for dtype in [TK_F16, TK_BF16] {
            var a = [Float](repeating: 0, count: bits.count + 3), b = a
            // An odd address: tensors of a file need not be aligned.
            let bytes: [UInt8] = [0] + bits.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
            bytes.withUnsafeBytes { raw in
                table.kernels.widen(&a, raw.baseAddress! + 1, dtype, Int64(bits.count))
                reference.widen(&b, raw.baseAddress! + 1, dtype, Int64(bits.count))
            }
            #expect(zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN })
        }
    }

    @Test("the largest come first, equal ones by their index, and what is −∞ does not come")
    func top() {
        for table in Self.vectors.map(\.kernels) + [reference] {
            let x: [Float] = [1, 3, -.infinity, 3, 2, .nan, 3, 0]
            var index = [Int32](repeating: -1, count: 8), value = [Float](repeating: 0, count: 8)
            #expect(table.top(x, 8, 3, &index, &value) == 3)
            #expect(Array(index.prefix(3)) == [1, 3, 6])
            #expect(table.top(x, 8, 8, &index, &value) == 6)
            #expect(Array(index.prefix(6)) == [1, 3, 6, 4, 0, 7])
            #expect(table.top(x, 8, 0, &index, &value) == 0)
        }
    }
}
