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

    /// The largest values, descending, equal ones by lower index first; returns how many there are.
    func top(
        _ x: UnsafeBufferPointer<Float>, into index: UnsafeMutableBufferPointer<Int32>,
        _ value: UnsafeMutableBufferPointer<Float>
    ) -> Int {
        precondition(index.count == value.count)
        return Int(
            table.top(x.baseAddress, Int64(x.count), Int64(index.count), index.baseAddress, value.baseAddress))
    }

    func widen(_ tensor: StoredTensor, into y: Floats) {
        tensor.withBytes { table.widen(y, $0.baseAddress, tensor.dtype.code, Int64(tensor.count)) }
    }

    static func linearScratch(inputs k: Int) -> Int { Int(tk_linear_scratch(Int64(k))) }
    static func attendScratch(keys: Int, head: Int) -> Int { Int(tk_attend_scratch(Int64(keys), Int64(head))) }

    /// Tells the core that this thread waits in a loop.
    @inline(__always) static func pause() { tk_pause() }
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
