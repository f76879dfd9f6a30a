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
    private(set) var inner = FloatBuffer()  // [T][F], of the exact path
    private(set) var tokenCodes = CodeBuffer()  // [T][H], of the fast path as the other codes
    private(set) var blankCodes = CodeBuffer()  // [B][H]
    private(set) var contextCodes = CodeBuffer()  // [T][H]
    private(set) var askingCodes = CodeBuffer()  // [T][H] after attention
    private(set) var headCodes = CodeBuffer()  // [B][H], what the decoder sees
    private(set) var innerCodes = CodeBuffer()  // [T][F]
    private(set) var logits = FloatBuffer()  // [decodedTogether][V]
    /// One a thread: what a kernel needs for itself.
    let own: UnsafeMutableBufferPointer<FloatBuffer>

    init(threads: Int) {
        own = .allocate(capacity: threads)
        own.initialize(repeating: FloatBuffer())
    }

    mutating func reserve(_ batch: Batch, _ shape: ModelShape, _ precision: Precision, codeWidth: Int) {
        let (tokens, blanks) = (batch.ids.count, batch.blanks.count)
        x.reserve(tokens * shape.hidden)
        query.reserve(tokens * shape.hidden)
        key.reserve(tokens * shape.hidden)
        value.reserve(tokens * shape.hidden)
        context.reserve(tokens * shape.hidden)
        sum.reserve(tokens * shape.hidden)
        switch precision {
        case .exact: inner.reserve(tokens * shape.feedForward)
        case .fast:
            let (hidden, depth) = (shape.hidden, shape.affordsSixteenBits ? 2 : 1)
            tokenCodes.reserve(tokens, hidden, depth, codeWidth)
            blankCodes.reserve(blanks, hidden, depth, codeWidth)
            contextCodes.reserve(tokens, hidden, depth, codeWidth)
            askingCodes.reserve(tokens, hidden, depth, codeWidth)
            innerCodes.reserve(tokens, shape.feedForward, depth, codeWidth, .oneSided)
            // One row in two parts costs the decoder little: it waits for its weights.
            headCodes.reserve(blanks, hidden, 2, codeWidth)
        }
        self.blanks.reserve(blanks * shape.hidden)
        logits.reserve(min(blanks, Self.decodedTogether) * shape.vocabulary)
        let kernels = max(
            precision == .fast ? Kernels.packedScratch(rows: tokens) : 0,
            Kernels.linearScratch(inputs: max(shape.hidden, shape.feedForward)),
            Kernels.attendScratch(keys: batch.longest, head: shape.hidden / shape.heads))
        for rank in own.indices { own[rank].reserve(kernels) }
    }

    func release() {
        for buffer in [x, blanks, query, key, value, context, sum, inner, logits] + Array(own) { buffer.release() }
        for buffer in [tokenCodes, blankCodes, headCodes, contextCodes, askingCodes, innerCodes] { buffer.release() }
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

/// Room for activations in eight bits, which like `FloatBuffer` grows and is kept.
struct CodeBuffer {
    private var bytes = FloatBuffer()
    private var scales = FloatBuffer()
    private var groups = 0
    private var depth = 1
    private var range = Codes.Range.symmetric

    var codes: Codes { Codes(base: UnsafeMutableRawPointer(bytes.base), scales: scales.base, groups: groups, depth: depth, range: range) }

    mutating func reserve(_ rows: Int, _ columns: Int, _ depth: Int, _ codeWidth: Int, _ range: Codes.Range = .symmetric) {
        groups = Kernels.groups(of: columns)
        (self.depth, self.range) = (depth, range)
        bytes.reserve((rows * depth * groups * Kernels.group * codeWidth + 3) / 4)
        scales.reserve(rows * depth * groups)
    }

    func release() {
        bytes.release()
        scales.release()
    }
}
