import Disk
import ModelFormat
import PatchFormat
import Signing
import StrictJSON

/// A model of a few hundred numbers in memory, whose tensors a test changes.
struct TinyModel {
    struct Tensor {
        var dtype = DType.f32
        var shape: [Int]
        var bytes: [UInt8]
    }

    static let words = "bert.embeddings.word_embeddings.weight"
    static let decoder = "cls.predictions.decoder.weight"
    static let matrix = "bert.encoder.layer.0.intermediate.dense.weight"
    static let vector = "bert.encoder.layer.0.intermediate.dense.bias"

    var tensors: [String: Tensor]
    var calibration: String?

    /// - Parameter dtype: of every tensor.
    init(_ dtype: DType = .f32) {
        var shapes = [
            Self.words: [40, 4], "bert.embeddings.position_embeddings.weight": [8, 4],
            "bert.embeddings.token_type_embeddings.weight": [2, 4], "cls.predictions.bias": [40],
        ]
        func both(_ name: String, _ outputs: Int, _ inputs: Int?) {
            shapes[name + ".weight"] = inputs.map { [outputs, $0] } ?? [outputs]
            shapes[name + ".bias"] = [outputs]
        }
        both("bert.embeddings.LayerNorm", 4, nil)
        for part in ["query", "key", "value"] { both("bert.encoder.layer.0.attention.self." + part, 4, 4) }
        both("bert.encoder.layer.0.attention.output.dense", 4, 4)
        both("bert.encoder.layer.0.attention.output.LayerNorm", 4, nil)
        both("bert.encoder.layer.0.intermediate.dense", 6, 4)
        both("bert.encoder.layer.0.output.dense", 4, 6)
        both("bert.encoder.layer.0.output.LayerNorm", 4, nil)
        both("cls.predictions.transform.dense", 4, 4)
        both("cls.predictions.transform.LayerNorm", 4, nil)
        var random = SplitMix(state: 1)
        tensors = [:]
        for (name, shape) in shapes.sorted(by: { $0.key < $1.key }) {
            let floats = (0..<shape.reduce(1, *)).map { _ in Float.random(in: -0.05...0.05, using: &random) }
            tensors[name] = Tensor(dtype: dtype, shape: shape, bytes: stored(floats, dtype))
        }
    }

    /// The tensor with other numbers, and another dtype where one is told.
    mutating func change(_ name: String, to dtype: DType? = nil, _ body: (inout [Float]) -> Void) {
        let old = tensors[name] ?? tensors[Self.words]!
        var floats = widened(old.bytes, old.dtype)
        body(&floats)
        tensors[name] = Tensor(dtype: dtype ?? old.dtype, shape: old.shape, bytes: stored(floats, dtype ?? old.dtype))
    }

    func contents() throws -> ModelContents {
        try ModelContents(
            shape: ModelShape(
                layers: 1, hidden: 4, heads: 2, feedForward: 6, positions: 8, types: 2, vocabulary: 40, activation: .gelu,
                epsilon: 1e-12),
            tokenizer: .init(lower: true, accents: nil, cjk: true), pieces: (0..<40).map { "piece\($0)" },
            tensors: tensors.map { name, tensor in
                try StoredTensor(name: name, dtype: tensor.dtype, shape: tensor.shape, bytes: shared(tensor.bytes))
            },
            calibration: calibration.map { Array($0.utf8) }, release: nil, epoch: 0)
    }

    func identity() async throws -> VersionIdentity {
        let contents = try contents()
        return contents.identity(digests: await contents.digests())
    }
}

/// The same numbers in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Memory of exactly that length, so that a read beyond it has a chance to be noticed.
func shared(_ bytes: [UInt8]) -> SharedBytes { HeapBytes(count: bytes.count) { $0.copyBytes(from: bytes) } }

func little<Number: FixedWidthInteger>(_ numbers: [Number]) -> [UInt8] {
    numbers.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
}

/// Rounded once, by Swift's own conversions.
func stored(_ floats: [Float], _ dtype: DType) -> [UInt8] {
    switch dtype {
    case .f32: little(floats.map(\.bitPattern))
    case .f16: little(floats.map { Float16($0).bitPattern })
    case .bf16:
        little(
            floats.map { float -> UInt16 in
                // By the neighbour that is nearer, in double; a tie to the even one.
                let low = Float(bitPattern: float.bitPattern & 0xFFFF_0000), high = Float(bitPattern: (float.bitPattern & 0xFFFF_0000) + 0x10000)
                let (below, above) = (abs(Double(float) - Double(low)), abs(Double(high) - Double(float)))
                let isLow = below < above || (below == above && low.bitPattern >> 16 & 1 == 0)
                return UInt16((isLow ? low : high).bitPattern >> 16)
            })
    }
}

func widened(_ bytes: [UInt8], _ dtype: DType) -> [Float] {
    stride(from: 0, to: bytes.count, by: dtype.width).map { at in
        let word = bytes[at..<(at + dtype.width)].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        switch dtype {
        case .f32: return Float(bitPattern: word)
        case .f16: return Float(Float16(bitPattern: UInt16(word)))
        case .bf16: return Float(bitPattern: word << 16)
        }
    }
}
