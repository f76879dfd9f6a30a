import Evaluation
import Disk
import ModelFormat

/// A model of a known shape and random weights (normal, 0.02, as BERT begins its training): to time with where the real
/// one is not at hand.
enum RandomModel {
    static func bertBaseChinese() throws -> ModelContents {
        let shape = ModelShape(
            layers: 12, hidden: 768, heads: 12, feedForward: 3072, positions: 512, types: 2, vocabulary: 21_128,
            activation: .gelu, epsilon: 1e-12)
        var random = SplitMix64(seed: 20_260_101)
        let tensors = try shape.expectedTensors(tied: true).map { name, sizes in
            let isScale = name.hasSuffix("LayerNorm.weight")
            let isVector = sizes.count == 1
            let bytes = HeapBytes(count: sizes.reduce(4, *)) { bytes in
                for index in 0..<bytes.count / 4 {
                    let value: Float = isScale ? 1 : isVector ? 0 : 0.02 * normal(&random)
                    bytes.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
                }
            }
            return try StoredTensor(name: name, dtype: .f32, shape: sizes, bytes: bytes)
        }
        let special = [0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"]
        return try ModelContents(
            shape: shape, tokenizer: TokenizerSettings(lower: true, accents: nil, cjk: true),
            pieces: (0..<shape.vocabulary).map { special[$0] ?? "p\($0)" }, tensors: tensors, calibration: nil,
            release: "random", epoch: 0)
    }

    /// Near enough to a normal distribution: four uniform numbers added (Irwin–Hall), with variance 1.
    private static func normal(_ random: inout SplitMix64) -> Float {
        let bits = random.next()
        var sum: Float = -2 * 65535
        for shift in stride(from: 0, to: 64, by: 16) { sum += Float((bits >> UInt64(shift)) & 0xFFFF) }
        return sum / 65535 * Float(3).squareRoot()
    }
}
