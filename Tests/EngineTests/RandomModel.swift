import Disk
import ModelFormat
import TestSupport

extension StoredTensor {
    init(_ name: String, _ shape: [Int], _ values: [Float]) throws {
        let bytes = values.withUnsafeBytes { from in HeapBytes(count: from.count) { $0.copyMemory(from: from) } }
        self = try StoredTensor(name: name, dtype: .f32, shape: shape, bytes: bytes)
    }
}

extension ModelContents {
    /// Random weights, the same every time, with the pieces of a tiny model.
    ///
    /// - Parameter change: of a tensor's values.
    static func random(
        layers: Int = 2, hidden: Int, heads: Int, feedForward: Int, positions: Int = 64, activation: Activation = .gelu, tied: Bool = true,
        pieces names: [String]? = nil, calibration: String? = nil,
        changing change: (String, inout [Float]) -> Void = { _, _ in }
    ) throws -> ModelContents {
        let pieces = try ModelContents(huggingFace: "\(Places.fixtures)/tiny-tied")
        let shape = ModelShape(
            layers: layers, hidden: hidden, heads: heads, feedForward: feedForward, positions: positions, types: 2,
            vocabulary: (names ?? pieces.pieces).count, activation: activation, epsilon: 1e-12)
        var state: UInt64 = 1
        func random() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(state >> 40) / Float(1 << 23) - 1
        }
        let tensors = try shape.expectedTensors(tied: tied).map { name, sizes in
            let isNorm = name.hasSuffix("LayerNorm.weight")
            let size: Float = name.hasSuffix("embeddings.weight") ? 0.3 : 1.7 / Float(sizes.last!).squareRoot()
            let count = sizes.reduce(1, *)
            var values = [Float](unsafeUninitializedCapacity: count) { values, filled in
                for index in 0..<count { values[index] = isNorm ? 1 + 0.2 * random() : size * random() }
                filled = count
            }
            change(name, &values)
            return try StoredTensor(name, sizes, values)
        }
        return try ModelContents(
            shape: shape, tokenizer: pieces.tokenizer, pieces: names ?? pieces.pieces, tensors: tensors,
            calibration: calibration.map { Array($0.utf8) }, release: nil, epoch: 0)
    }
}
