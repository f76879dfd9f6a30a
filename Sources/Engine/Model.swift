import Disk
import ModelFormat
import Synchronization

/// A dense layer: `weight[outputs][inputs]` in its stored dtype, straight from the mapping; `bias[outputs]`.
struct Dense {
    let weight: UnsafeRawPointer
    let dtype: DType
    let bias: UnsafePointer<Float>
    let outputs: Int
    let inputs: Int
}

/// The same in eight bits: `planes` packed matrices.
struct PackedDense {
    let weight: UnsafeRawPointer
    let planes: Int
    let bias: UnsafePointer<Float>
    let outputs: Int
    let inputs: Int
}

struct Norm {
    let gamma: UnsafePointer<Float>
    let beta: UnsafePointer<Float>
    let epsilon: Float
    let width: Int
}

struct Embeddings {
    let words: UnsafeRawPointer
    let dtype: DType
    let position: UnsafePointer<Float>
    let type0: UnsafePointer<Float>
    let norm: Norm
    let positions: Int
    let width: Int
}

struct Layer {
    let query, key, value, attended: Dense
    let attentionNorm: Norm
    let up, down: Dense
    let norm: Norm
}

struct PackedLayer {
    let query, key, value, attended, up, down: PackedDense
}

struct Head {
    let transform: Dense
    let norm: Norm
    let decoder: Dense
    let packedDecoder: PackedDense
}

/// The weights of a version, ready to compute with: matrices where they are mapped, vectors widened to fp32 once.
///
/// `@unchecked Sendable`: every pointer leads into what `contents`, `packed` or `vectors` hold, both of which
/// are written before `init` returns and never after, and live as long as this object.
final class Model: @unchecked Sendable {
    let contents: ModelContents
    let embeddings: Embeddings
    let layers: [Layer]
    let packedLayers: [PackedLayer]
    let head: Head
    /// In fp32, since somebody last asked.
    let exactPasses = Atomic(0)
    private let packed: PackedWeights
    private let vectors: VectorArena

    var shape: ModelShape { contents.shape }

    init(_ contents: ModelContents, packed: PackedWeights, kernels: Kernels) throws(EngineError) {
        let reader = WeightReader(contents: contents, packed: packed, kernels: kernels)
        let shape = contents.shape
        embeddings = try reader.embeddings(shape)
        var layers: [Layer] = []
        var packedLayers: [PackedLayer] = []
        for index in 0..<shape.layers {
            let layer = try reader.layer(index, shape)
            layers.append(layer)
            packedLayers.append(try reader.packed(layer, index))
        }
        (self.layers, self.packedLayers) = (layers, packedLayers)
        head = try reader.head(shape)
        vectors = reader.arena
        self.packed = packed
        self.contents = contents
    }
}

/// Owns the widened vectors; addresses never move.
private final class VectorArena {
    private var blocks: [UnsafeMutablePointer<Float>] = []

    func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        let block = UnsafeMutablePointer<Float>.allocate(capacity: max(count, 1))
        block.initialize(repeating: 0, count: max(count, 1))
        blocks.append(block)
        return block
    }

    deinit {
        for block in blocks { block.deallocate() }
    }
}

private struct WeightReader {
    let contents: ModelContents
    let packed: PackedWeights
    let kernels: Kernels
    let arena = VectorArena()

    private func tensor(_ name: String) throws(EngineError) -> StoredTensor {
        guard let tensor = contents[name] else { throw .tensorMissing(name) }
        return tensor
    }

    private func vector(_ name: String) throws(EngineError) -> UnsafePointer<Float> {
        let tensor = try tensor(name)
        let floats = arena.allocate(tensor.count)
        kernels.widen(tensor, into: floats)
        return UnsafePointer(floats)
    }

    /// - Parameter weightName: where the matrix is, when it is not `name.weight` (a tied decoder).
    private func dense(
        _ name: String, outputs: Int, inputs: Int, weightName: String? = nil, biasName: String? = nil
    ) throws(EngineError) -> Dense {
        let weight = try tensor(weightName ?? name + ".weight")
        guard let address = weight.addressWhileHeld, weight.shape == [outputs, inputs] else {
            throw .tensorMissing(weight.name)
        }
        return Dense(
            weight: address, dtype: weight.dtype, bias: try vector(biasName ?? name + ".bias"), outputs: outputs,
            inputs: inputs)
    }

    private func norm(_ name: String, _ shape: ModelShape) throws(EngineError) -> Norm {
        Norm(
            gamma: try vector(name + ".weight"), beta: try vector(name + ".bias"), epsilon: Float(shape.epsilon),
            width: shape.hidden)
    }

    func embeddings(_ shape: ModelShape) throws(EngineError) -> Embeddings {
        let words = try tensor("bert.embeddings.word_embeddings.weight")
        guard let address = words.addressWhileHeld else { throw .tensorMissing(words.name) }
        return Embeddings(
            words: address, dtype: words.dtype, position: try vector("bert.embeddings.position_embeddings.weight"),
            type0: try vector("bert.embeddings.token_type_embeddings.weight"),
            norm: try norm("bert.embeddings.LayerNorm", shape), positions: shape.positions, width: shape.hidden)
    }

    func layer(_ index: Int, _ shape: ModelShape) throws(EngineError) -> Layer {
        let name = "bert.encoder.layer.\(index)."
        let (hidden, inner) = (shape.hidden, shape.feedForward)
        return Layer(
            query: try dense(name + "attention.self.query", outputs: hidden, inputs: hidden),
            key: try dense(name + "attention.self.key", outputs: hidden, inputs: hidden),
            value: try dense(name + "attention.self.value", outputs: hidden, inputs: hidden),
            attended: try dense(name + "attention.output.dense", outputs: hidden, inputs: hidden),
            attentionNorm: try norm(name + "attention.output.LayerNorm", shape),
            up: try dense(name + "intermediate.dense", outputs: inner, inputs: hidden),
            down: try dense(name + "output.dense", outputs: hidden, inputs: inner),
            norm: try norm(name + "output.LayerNorm", shape))
    }

    /// - Parameter matrix: the tensor's name; how many planes there are is seen from the bytes.
    private func packed(_ dense: Dense, _ matrix: String) throws(EngineError) -> PackedDense {
        let plane = Kernels.packedBytes(outputs: dense.outputs, inputs: dense.inputs)
        guard let bytes = packed[matrix], let address = bytes.addressWhileHeld.baseAddress, [plane, 2 * plane].contains(bytes.count)
        else { throw .packedMissing(matrix, expected: plane, found: packed[matrix]?.count ?? 0) }
        return PackedDense(
            weight: address, planes: bytes.count / plane, bias: dense.bias, outputs: dense.outputs, inputs: dense.inputs)
    }

    func packed(_ layer: Layer, _ index: Int) throws(EngineError) -> PackedLayer {
        let name = "bert.encoder.layer.\(index)."
        return PackedLayer(
            query: try packed(layer.query, name + "attention.self.query.weight"),
            key: try packed(layer.key, name + "attention.self.key.weight"),
            value: try packed(layer.value, name + "attention.self.value.weight"),
            attended: try packed(layer.attended, name + "attention.output.dense.weight"),
            up: try packed(layer.up, name + "intermediate.dense.weight"),
            down: try packed(layer.down, name + "output.dense.weight"))
    }

    func head(_ shape: ModelShape) throws(EngineError) -> Head {
        let matrix = contents.isTied ? VersionIdentity.embeddings : VersionIdentity.decoder
        let decoder = try dense(
            "cls.predictions.decoder", outputs: shape.vocabulary, inputs: shape.hidden, weightName: matrix,
            biasName: "cls.predictions.bias")
        return Head(
            transform: try dense("cls.predictions.transform.dense", outputs: shape.hidden, inputs: shape.hidden),
            norm: try norm("cls.predictions.transform.LayerNorm", shape),
            decoder: decoder, packedDecoder: try packed(decoder, matrix))
    }
}
