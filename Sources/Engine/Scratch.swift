import ModelFormat

/// The activations of one forward pass, shared by the crew. Grown before a pass begins, never during one, and kept:
/// in the steady state a question allocates nothing here.
///
/// Legend: `T` tokens of the batch, `B` blanks, `H` hidden size, `F` feed-forward size, `V` vocabulary.
struct Scratch {
    /// How many blanks' logits are held at once; a batch with more goes through the decoder in pieces.
    static let decodedTogether = 32

    private(set) var x = FloatBuffer()  // [T][H] the residual stream
    private(set) var blanks = FloatBuffer()  // [B][H] its rows at the blanks, in the last layer
    private(set) var query = FloatBuffer()  // [T][H]
    private(set) var key = FloatBuffer()  // [T][H]
    private(set) var value = FloatBuffer()  // [T][H]
    private(set) var context = FloatBuffer()  // [T][H] what attention read
    private(set) var sum = FloatBuffer()  // [T][H] before LayerNorm
    private(set) var inner = FloatBuffer()  // [T][F]
    private(set) var logits = FloatBuffer()  // [decodedTogether][V]
    /// One a thread: what a kernel needs for itself.
    let own: UnsafeMutableBufferPointer<FloatBuffer>

    init(threads: Int) {
        own = .allocate(capacity: threads)
        own.initialize(repeating: FloatBuffer())
    }

    mutating func reserve(_ batch: Batch, _ shape: ModelShape) {
        let (tokens, blanks) = (batch.ids.count, batch.blanks.count)
        x.reserve(tokens * shape.hidden)
        query.reserve(tokens * shape.hidden)
        key.reserve(tokens * shape.hidden)
        value.reserve(tokens * shape.hidden)
        context.reserve(tokens * shape.hidden)
        sum.reserve(tokens * shape.hidden)
        inner.reserve(tokens * shape.feedForward)
        self.blanks.reserve(blanks * shape.hidden)
        logits.reserve(min(blanks, Self.decodedTogether) * shape.vocabulary)
        let kernels = max(
            Kernels.linearScratch(inputs: max(shape.hidden, shape.feedForward)),
            Kernels.attendScratch(keys: batch.longest, head: shape.hidden / shape.heads))
        for rank in own.indices { own[rank].reserve(kernels) }
    }

    func release() {
        for buffer in [x, blanks, query, key, value, context, sum, inner, logits] + Array(own) { buffer.release() }
        own.deallocate()
    }
}

/// Floats aligned to a cache line whose content does not outlive a growth.
struct FloatBuffer {
    private(set) var base: UnsafeMutablePointer<Float>
    private(set) var capacity = 0

    init() {
        base = UnsafeMutablePointer(bitPattern: 64)!
    }

    mutating func reserve(_ count: Int) {
        guard count > capacity else { return }
        release()
        let raw = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Float>.stride, alignment: 64)
        base = raw.initializeMemory(as: Float.self, repeating: 0, count: count)
        capacity = count
    }

    func release() {
        if capacity > 0 { base.deallocate() }
    }
}
