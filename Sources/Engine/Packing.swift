public import Disk
public import ModelFormat
import Synchronization

/// A matrix as the fast path reads it: eight-bit codes with a scale for each group of 64 inputs (CKernels.h).
public struct PackedMatrix: Sendable {
    /// Raised with every change of what packed bytes mean: files of another number are made anew.
    public static let layout = 1

    /// What it is packed from; a tied decoder's is the embeddings' tensor.
    public let tensor: StoredTensor
    /// 1, or 2 where small differences between weights must not get lost: the second holds what the first leaves over.
    public let planes: Int

    var outputs: Int { tensor.shape[0] }
    var inputs: Int { tensor.shape[1] }
    var tiles: Int { (outputs + Kernels.tile - 1) / Kernels.tile }

    public var byteCount: Int { planes * Kernels.packedBytes(outputs: outputs, inputs: inputs) }

    /// Those of a version: every dense layer of the encoder, and the decoder (whose best candidates are scored anew from
    /// the exact weights, so that one plane is enough for it).
    ///
    /// - Parameter learned: tensors that training has changed. Where the shape affords it (`affordsSixteenBits`) they get
    ///   two planes, so that what moved a weight by less than half a step of its code is in the answer all the same. In a
    ///   large model one plane carries it (docs/PERFORMANCE.md, what was learned).
    public static func all(of contents: ModelContents, learned: Set<String> = []) -> [PackedMatrix] {
        var matrices: [PackedMatrix] = []
        func add(_ name: String, planes: Int) {
            if let tensor = contents[name] { matrices.append(PackedMatrix(tensor: tensor, planes: planes)) }
        }
        for index in 0..<contents.shape.layers {
            for part in Self.encoderParts {
                let name = "bert.encoder.layer.\(index).\(part).weight"
                add(name, planes: contents.shape.affordsSixteenBits && learned.contains(name) ? 2 : 1)
            }
        }
        add(contents.isTied ? VersionIdentity.embeddings : VersionIdentity.decoder, planes: 1)
        return matrices
    }

    private static let encoderParts = [
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense",
        "output.dense",
    ]

    /// - Parameter place: two lanes of what kind of threads.
    public static func pack(
        _ matrices: [PackedMatrix], isa: ISA = .best, on place: Lanes.Place = .pool
    ) async throws(EngineError) -> PackedWeights {
        let kernels = try Kernels(isa)
        let made = try await Lanes.map(matrices, on: place) { matrix throws(EngineError) in matrix.packed(kernels) }
        return PackedWeights(zip(matrices, made).map { ($0.tensor.name, $1) })
    }

    /// On this thread.
    public func packed(isa: ISA = .best) throws(EngineError) -> HeapBytes { packed(try Kernels(isa)) }

    func packed(_ kernels: Kernels) -> HeapBytes {
        HeapBytes(count: byteCount) { bytes in
            let count = Kernels.packScratch(inputs: inputs)
            let scratch = UnsafeMutablePointer<Float>.allocate(capacity: count)
            defer { scratch.deallocate() }
            kernels.pack(self, tiles: 0..<tiles, into: bytes, scratch: scratch)
        }
    }
}

extension ModelShape {
    /// A small model's passes stay a fraction of a millisecond with sixteen bits too, and its answers are closer to one
    /// another than a large one's.
    var affordsSixteenBits: Bool { layers * hidden * (4 * hidden + 2 * feedForward) <= 16_000_000 }
}

/// A version's packed matrices by the names of their tensors, each a mapped file or memory.
public struct PackedWeights: Sendable {
    private let bytes: [String: SharedBytes]

    public init(_ matrices: [(name: String, bytes: SharedBytes)]) {
        bytes = Dictionary(matrices.map { ($0.name, $0.bytes) }) { first, _ in first }
    }

    subscript(_ name: String) -> SharedBytes? { bytes[name] }
}
