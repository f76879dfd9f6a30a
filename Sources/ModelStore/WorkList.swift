import ModelFormat
import Synchronization

/// Tensors to be done by several lanes, each once.
final class WorkList: Sendable {
    private let state: Mutex<(index: Int, bytes: Int)>
    private let tensors: [StoredTensor]

    init(_ tensors: [StoredTensor]) {
        self.tensors = tensors
        state = Mutex((0, 0))
    }

    /// The next one, with the bytes of it and all before it.
    func next() -> (StoredTensor, Int)? {
        state.withLock { state in
            guard state.index < tensors.count else { return nil }
            let tensor = tensors[state.index]
            state.index += 1
            state.bytes += tensor.byteCount
            return (tensor, state.bytes)
        }
    }
}
