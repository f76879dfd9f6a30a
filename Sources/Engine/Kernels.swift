import CKernels
import ModelFormat

/// The instruction sets the kernels are written for, weakest first.
public enum ISA: String, Sendable, CaseIterable {
    case scalar, avx2, avxvnni, avx512vnni

    fileprivate var code: tk_isa {
        switch self {
        case .scalar: TK_ISA_SCALAR
        case .avx2: TK_ISA_AVX2
        case .avxvnni: TK_ISA_AVXVNNI
        case .avx512vnni: TK_ISA_AVX512VNNI
        }
    }

    /// Whether this machine and this build have it.
    public var isAvailable: Bool { tk_kernels_for(code) != nil }

    public static var best: ISA { allCases.last { $0.isAvailable } ?? .scalar }
}

/// The one Swift file that touches the C kernels: it checks sizes, and C trusts them.
///
/// Legend: `m` rows of activations, `n` columns of outputs, `k` inputs of a layer.
struct Kernels: Sendable {
    let isa: ISA
    /// A constant of the C module: function pointers that are never changed.
    nonisolated(unsafe) private let table: tk_kernels

    /// - Throws: `.isaMissing` when the machine lacks it; a forced ISA is never quietly replaced.
    init(_ isa: ISA) throws(EngineError) {
        guard let table = tk_kernels_for(isa.code) else { throw .isaMissing(isa, best: ISA.best) }
        self.isa = isa
        self.table = table.pointee
    }

    typealias Floats = UnsafeMutablePointer<Float>

    /// `y[m][n] = activation(x[m][k] · wᵀ + bias) + residual`, for `columns` only.
    ///
    /// - Parameters:
    ///   - residual: `[m][n]`, or nil; may be `y` itself.
    ///   - scratch: at least `linearScratch(k)` floats, of this thread alone.
    func linear(
        _ layer: Dense, x: UnsafePointer<Float>, y: Floats, rows m: Int, columns: Range<Int>,
        activation: Activation? = nil, residual: UnsafePointer<Float>? = nil, scratch: Floats
    ) {
        precondition(columns.lowerBound >= 0 && columns.upperBound <= layer.outputs)
        guard m > 0, !columns.isEmpty else { return }
        var job = tk_linear(
            x: x, ldx: Int64(layer.inputs), w: layer.weight, dtype: layer.dtype.code, ldw: Int64(layer.inputs),
            bias: layer.bias, residual: residual, ldr: Int64(layer.outputs), y: y, ldy: Int64(layer.outputs),
            m: Int64(m), n: Int64(layer.outputs), k: Int64(layer.inputs),
            activation: activation?.code ?? TK_IDENTITY)
        table.linear(&job, Int64(columns.lowerBound), Int64(columns.upperBound), scratch)
    }

    /// One output of a layer for one row: `x[k] · w[output] + bias[output]`.
    func output(_ layer: Dense, _ output: Int, of x: UnsafePointer<Float>) -> Float {
        precondition((0..<layer.outputs).contains(output))
        let row = layer.weight + output * layer.inputs * layer.dtype.width
        return table.dot(x, row, layer.dtype.code, Int64(layer.inputs)) + layer.bias[output]
    }

    func layerNorm(_ norm: Norm, _ x: UnsafePointer<Float>, into y: Floats, rows: Range<Int>) {
        guard !rows.isEmpty else { return }
        let offset = rows.lowerBound * norm.width
        table.layer_norm(
            y + offset, x + offset, norm.gamma, norm.beta, norm.epsilon, Int64(rows.count), Int64(norm.width))
    }

    /// The sum of word, position and type embeddings of `count` tokens that start at position `first` of a sequence.
    func embed(_ table: Embeddings, ids: UnsafePointer<Int32>, first: Int, count: Int, into y: Floats) {
        precondition(first >= 0 && first + count <= table.positions)
        self.table.embed(
            y, table.words, table.dtype.code, ids, table.position, table.type0, Int64(first), Int64(count),
            Int64(table.width))
    }

    /// One head of one sequence: `softmax(q · kᵀ · scale) · v`; rows are `stride` floats apart in every matrix.
    func attend(
        q: UnsafePointer<Float>, queries: Int, k: UnsafePointer<Float>, v: UnsafePointer<Float>, keys: Int,
        out: Floats, stride: Int, head: Int, scale: Float, scratch: Floats
    ) {
        let stride = Int64(stride)
        table.attend(
            q, stride, k, stride, v, stride, out, stride, Int64(queries), Int64(keys), Int64(head), scale, scratch)
    }

    /// `log Σ exp(x / temperature)`.
    func logSumExp(_ x: UnsafeBufferPointer<Float>, temperature: Float) -> Float {
        table.log_sum_exp(x.baseAddress, Int64(x.count), 1 / temperature)
    }

    /// `−Σ p ln p` in nats, where `ln p = x / temperature − logSum`.
    func entropy(_ x: UnsafeBufferPointer<Float>, temperature: Float, logSum: Float) -> Float {
        table.entropy(x.baseAddress, Int64(x.count), 1 / temperature, logSum)
    }

    /// The largest values, descending, equal ones by lower index first; returns how many there are.
    func top(
        _ x: UnsafeBufferPointer<Float>, into index: UnsafeMutableBufferPointer<Int32>,
        _ value: UnsafeMutableBufferPointer<Float>
    ) -> Int {
        precondition(index.count == value.count)
        return Int(
            table.top(x.baseAddress, Int64(x.count), Int64(index.count), index.baseAddress, value.baseAddress))
    }

    /// Rows of `x[rows][columns]`, `stride` floats apart, into `codes` from their row `first` and column `column` on.
    ///
    /// - Precondition: `column` is a multiple of `Kernels.group`, and `columns` ends at one or with the matrix.
    func quantise(
        _ x: UnsafePointer<Float>, stride: Int, rows: Range<Int>, columns: Range<Int>, into codes: Codes
    ) {
        precondition(columns.lowerBound % Self.group == 0 && columns.upperBound <= codes.groups * Self.group)
        guard !rows.isEmpty, !columns.isEmpty else { return }
        var to = codes.raw
        table.quantise(
            &to, Int64(rows.lowerBound), Int64(rows.count), Int64(columns.lowerBound / Self.group),
            x + rows.lowerBound * stride + columns.lowerBound, Int64(stride), Int64(columns.count))
    }

    /// `y[m][n] = x[m][k] · wᵀ + bias + residual` with eight-bit weights, for `columns` only.
    ///
    /// - Parameters:
    ///   - residual: `[m][n]`, or nil; not `y`.
    ///   - scratch: `packedScratch(rows:)` floats, of this thread alone.
    func packed(
        _ layer: PackedDense, x: Codes, y: Floats, rows m: Int, columns: Range<Int>,
        residual: UnsafePointer<Float>? = nil, scratch: Floats
    ) {
        guard m > 0, !columns.isEmpty else { return }
        var job = raw(layer, x: x, rows: m, columns: columns)
        job.residual = residual
        job.ldr = Int64(layer.outputs)
        job.y = y
        job.ldy = Int64(layer.outputs)
        table.packed(&job, Int64(columns.lowerBound), Int64(columns.upperBound), scratch)
    }

    /// `y = activation(x · wᵀ + bias)`, as codes.
    ///
    /// - Parameter columns: split at multiples of `fusedColumns`.
    func packed(
        _ layer: PackedDense, x: Codes, y: Codes, rows m: Int, columns: Range<Int>, activation: Activation, scratch: Floats
    ) {
        precondition(columns.lowerBound % Self.fusedColumns == 0)
        guard m > 0, !columns.isEmpty else { return }
        var job = raw(layer, x: x, rows: m, columns: columns)
        job.activation = activation.code
        withUnsafePointer(to: y.raw) { quantised in
            job.quantised = quantised
            table.packed(&job, Int64(columns.lowerBound), Int64(columns.upperBound), scratch)
        }
    }

    private func raw(_ layer: PackedDense, x: Codes, rows m: Int, columns: Range<Int>) -> tk_packed {
        precondition(columns.lowerBound >= 0 && columns.upperBound <= layer.outputs)
        precondition(x.groups == Self.groups(of: layer.inputs))
        return tk_packed(
            x: x.raw, w: layer.weight, planes: Int64(layer.planes), bias: layer.bias, residual: nil, ldr: 0, y: nil, ldy: 0,
            m: Int64(m), n: Int64(layer.outputs), activation: TK_IDENTITY, quantised: nil)
    }

    /// Tiles `tiles` of a matrix into `bytes`, which is all of it.
    func pack(_ matrix: PackedMatrix, tiles: Range<Int>, into bytes: UnsafeMutableRawBufferPointer, scratch: Floats) {
        precondition(bytes.count == matrix.byteCount && tiles.upperBound <= matrix.tiles)
        matrix.tensor.withBytes { weights in
            precondition(weights.count == matrix.outputs * matrix.inputs * matrix.tensor.dtype.width)
            table.pack(
                bytes.baseAddress, weights.baseAddress, matrix.tensor.dtype.code, Int64(matrix.outputs), Int64(matrix.inputs),
                Int64(matrix.planes), Int64(tiles.lowerBound), Int64(tiles.upperBound), scratch)
        }
    }

    /// Bytes of an activation's code.
    var codeWidth: Int { Int(table.code_width) }

    /// Operations done in registers (`Peaks`).
    func multiplyAdds(rounds: Int) -> Int { Int(table.multiply_adds(Int64(rounds))) }
    func dots(rounds: Int) -> Int { Int(table.dots(Int64(rounds))) }

    /// Reads `bytes` of memory and returns how many they were.
    static func read(_ memory: UnsafeRawPointer, _ bytes: Range<Int>) -> Int {
        Int(tk_read(memory + bytes.lowerBound, Int64(bytes.count)))
    }

    func widen(_ tensor: StoredTensor, into y: Floats) {
        tensor.withBytes { table.widen(y, $0.baseAddress, tensor.dtype.code, Int64(tensor.count)) }
    }

    static func linearScratch(inputs k: Int) -> Int { Int(tk_linear_scratch(Int64(k))) }
    static func attendScratch(keys: Int, head: Int) -> Int { Int(tk_attend_scratch(Int64(keys), Int64(head))) }

    static func packedScratch(rows m: Int) -> Int { Int(tk_packed_scratch(Int64(m))) }
    static func packScratch(inputs k: Int) -> Int { Int(tk_pack_scratch(Int64(k))) }
    static func packedBytes(outputs n: Int, inputs k: Int) -> Int { Int(tk_packed_bytes(Int64(n), Int64(k))) }

    /// Inputs that share a scale; outputs that are computed together; outputs that are both.
    static let group = Int(TK_GROUP)
    static let tile = Int(TK_TILE)
    static let fusedColumns = Int(TK_FUSED_COLUMNS)
    static func groups(of inputs: Int) -> Int { (inputs + group - 1) / group }

    /// Tells the core that this thread waits in a loop.
    @inline(__always) static func pause() { tk_pause() }
}

/// Activations in eight bits, where they lie: `[rows][depth][groups · 64]` and a scale for each group.
struct Codes {
    /// How a group's range is laid out: around 0, or mostly above it.
    enum Range { case symmetric, oneSided }

    let base: UnsafeMutableRawPointer
    let scales: UnsafeMutablePointer<Float>
    let groups: Int
    /// 1, or 2: the second codes of a row are what the first leave over.
    let depth: Int
    let range: Range

    fileprivate var raw: tk_codes {
        tk_codes(
            codes: base, scales: scales, groups: Int64(groups), depth: Int64(depth),
            shift: Int32(range == .symmetric ? TK_SYMMETRIC : TK_ONE_SIDED))
    }
}

extension DType {
    fileprivate var code: tk_dtype {
        switch self {
        case .f32: TK_F32
        case .f16: TK_F16
        case .bf16: TK_BF16
        }
    }
}

extension Activation {
    fileprivate var code: tk_activation {
        switch self {
        case .gelu: TK_GELU
        case .geluTanh: TK_GELU_TANH
        case .relu: TK_RELU
        }
    }
}
