import ModelFormat

/// BERT's forward pass (Devlin et al. 2018, Vaswani et al. 2017), as every thread of the crew runs it.
///
/// All threads walk through the same stages; each computes its share (columns of a layer, rows of a norm, heads of
/// attention) and waits for the others at the end of a stage. What a value is does not depend on how many they are.
///
/// Legend: `T` tokens of the batch, `Q` rows that ask (all tokens, in the last layer only the blanks), `H` hidden size.
struct ForwardPass {
    let round: Round
    let kernels: Kernels
    let scratch: Scratch
    let crew: Barrier
    let places: Places
    let rank: Int
    let threads: Int

    var model: Model { round.model }
    var batch: Batch { round.batch }
    var own: UnsafeMutablePointer<Float> { scratch.own[rank].base }
    typealias Floats = UnsafeMutablePointer<Float>

    enum Progress { case completed, givenUp, paused(layer: Int) }

    /// - Parameters:
    ///   - first: the layer to go on with; what `scratch` holds is then the pass's own, as it was when it paused.
    ///   - turn: layers after which it makes room for a live question that waits; nil: never.
    /// - Returns: the same in all threads.
    func run(from first: Int = 0, turn: Int? = nil, signal: PassSignal, isAwaited: () -> Bool) -> Progress {
        if first == 0 { embed(into: scratch.x.base) }
        let last = model.layers.count - 1
        for index in first...last {
            if rank == 0 && round.isGivenUp { signal.give(.stop) }
            if rank == 0, let turn, index - first >= turn, isAwaited() { signal.give(.pause) }
            places.check(rank: rank)
            crew.wait()
            switch signal.given {
            case .goOn: break
            case .stop: return .givenUp
            case .pause: return .paused(layer: index)
            }
            if index < last {
                encode(index, asking: scratch.x.base, starts: batch.starts)
            } else {
                gatherBlanks(into: scratch.blanks.base)
                encode(index, asking: scratch.blanks.base, starts: batch.blankStarts)
            }
        }
        crew.wait()
        predict(scratch.blanks.base)
        return .completed
    }

    private func encode(_ index: Int, asking: Floats, starts: [Int]) {
        switch round.precision {
        case .exact: encode(model.layers[index], tokens: scratch.x.base, asking: asking, starts: starts)
        case .fast: encode(model.layers[index], model.packedLayers[index], asking: asking, starts: starts)
        }
    }

    /// `x[T][H]` = LayerNorm(word + position + type); positions count from each sequence's start.
    private func embed(into x: Floats) {
        let rows = slice(of: batch.ids.count)
        batch.ids.withUnsafeBufferPointer { ids in
            for sequence in 0..<batch.sequences {
                let start = batch.starts[sequence]
                let mine = rows.clamped(to: start..<batch.starts[sequence + 1])
                guard !mine.isEmpty else { continue }
                kernels.embed(
                    model.embeddings, ids: ids.baseAddress! + mine.lowerBound, first: mine.lowerBound - start,
                    count: mine.count, into: x + mine.lowerBound * model.shape.hidden)
            }
        }
        kernels.layerNorm(model.embeddings.norm, x, into: x, rows: rows)
        if round.precision == .fast { quantise(x, rows: rows, into: scratch.tokenCodes.codes) }
    }

    /// One layer. `tokens[T][H]` are looked at, `asking[Q][H]` are looked from and become the layer's output;
    /// `starts` says where each sequence's rows begin in `asking`.
    private func encode(_ layer: Layer, tokens: Floats, asking: Floats, starts: [Int]) {
        let s = scratch
        let (all, rows) = (batch.ids.count, starts[batch.sequences])

        linear(layer.query, asking, into: s.query.base, rows: rows)
        linear(layer.key, tokens, into: s.key.base, rows: all)
        linear(layer.value, tokens, into: s.value.base, rows: all)
        crew.wait()
        for head in share(of: model.shape.heads) { attend(head, queryStarts: starts) }
        crew.wait()
        linear(layer.attended, s.context.base, into: s.sum.base, rows: rows, residual: asking)
        crew.wait()
        kernels.layerNorm(layer.attentionNorm, s.sum.base, into: asking, rows: slice(of: rows))
        crew.wait()
        linear(layer.up, asking, into: s.inner.base, rows: rows, activation: model.shape.activation)
        crew.wait()
        linear(layer.down, s.inner.base, into: s.sum.base, rows: rows, residual: asking)
        crew.wait()
        kernels.layerNorm(layer.norm, s.sum.base, into: asking, rows: slice(of: rows))
    }

    /// One head of `context` = softmax(query · keyᵀ / √head) · value, within each sequence.
    func attend(_ number: Int, queryStarts: [Int]) {
        let (shape, s) = (model.shape, scratch)
        let head = shape.hidden / shape.heads
        for sequence in 0..<batch.sequences {
            let (first, end) = (batch.starts[sequence], batch.starts[sequence + 1])
            let (asks, asksEnd) = (queryStarts[sequence], queryStarts[sequence + 1])
            let (row, ask) = (first * shape.hidden + number * head, asks * shape.hidden + number * head)
            kernels.attend(
                q: s.query.base + ask, queries: asksEnd - asks, k: s.key.base + row, v: s.value.base + row,
                keys: end - first, out: s.context.base + ask, stride: shape.hidden, head: head,
                scale: 1 / Float(head).squareRoot(), scratch: own)
        }
    }

    /// From here on only the blanks are needed: `blanks[B][H]`.
    private func gatherBlanks(into blanks: Floats) {
        let hidden = model.shape.hidden
        for row in share(of: batch.blanks.count) {
            (blanks + row * hidden).update(from: scratch.x.base + batch.blanks[row] * hidden, count: hidden)
            if round.precision == .fast { quantise(blanks, rows: row..<row + 1, into: scratch.blankCodes.codes) }
        }
        crew.wait()
    }

    /// The masked-LM head on `blanks[B][H]`: dense, activation, LayerNorm, decoder; then what is wanted of the logits.
    private func predict(_ blanks: Floats) {
        let (head, s, count) = (model.head, scratch, batch.blanks.count)
        linear(head.transform, blanks, into: s.sum.base, rows: count, activation: model.shape.activation)
        crew.wait()
        kernels.layerNorm(head.norm, s.sum.base, into: blanks, rows: slice(of: count))
        if round.precision == .fast { quantise(blanks, rows: slice(of: count), into: s.headCodes.codes) }
        crew.wait()
        for first in stride(from: 0, to: count, by: Scratch.decodedTogether) {
            let rows = min(Scratch.decodedTogether, count - first)
            switch round.precision {
            case .exact: linear(head.decoder, blanks + first * model.shape.hidden, into: s.logits.base, rows: rows)
            case .fast: packed(head.packedDecoder, s.headCodes.codes.from(first, kernels), into: s.logits.base, rows: rows)
            }
            crew.wait()
            for row in share(of: rows) {
                let vocabulary = model.shape.vocabulary
                let logits = UnsafeMutableBufferPointer(start: s.logits.base + row * vocabulary, count: vocabulary)
                round.harvest(logits, blank: first + row, state: blanks + (first + row) * model.shape.hidden, kernels: kernels)
            }
            crew.wait()
        }
    }

    // MARK: - A thread's share

    private func linear(
        _ layer: Dense, _ x: Floats, into y: Floats, rows: Int, activation: Activation? = nil,
        residual: Floats? = nil
    ) {
        kernels.linear(
            layer, x: x, y: y, rows: rows, columns: slice(of: layer.outputs, unit: 48), activation: activation,
            residual: residual, scratch: own)
    }

    /// A run of `count` items, cut at multiples of `unit` (the kernels' tiles).
    func slice(of count: Int, unit: Int = 1) -> Range<Int> {
        let units = (count + unit - 1) / unit
        return min(count, units * rank / threads * unit)..<min(count, units * (rank + 1) / threads * unit)
    }

    /// Every `threads`-th item: for items of uneven cost.
    func share(of count: Int) -> StrideTo<Int> {
        stride(from: rank, to: count, by: threads)
    }
}
