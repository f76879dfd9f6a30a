import ModelFormat

/// A layer in eight bits. The stages are those of the exact one, but what follows a matrix on the same rows and columns is
/// done by the thread that has them in its cache: a thread computes query, key and value of its own heads, attends with
/// them and quantises what it read; it quantises what it activated.
extension ForwardPass {
    /// `asking[Q][H]` are looked from and become the layer's output; `scratch.tokenCodes[T][H]` are looked at and become
    /// the output's codes (in the last layer, where few ask, `blankCodes` ask and nothing comes after).
    func encode(_ layer: Layer, _ packed: PackedLayer, asking: Floats, starts: [Int]) {
        let (s, shape) = (scratch, model.shape)
        let (all, rows) = (batch.ids.count, starts[batch.sequences])
        let isLast = asking == s.blanks.base
        let (tokens, askers) = (s.tokenCodes.codes, isLast ? s.blankCodes.codes : s.tokenCodes.codes)

        let heads = ownHeads
        let columns = heads.lowerBound * (shape.hidden / shape.heads)..<heads.upperBound * (shape.hidden / shape.heads)
        self.packed(packed.query, askers, into: s.query.base, rows: rows, columns: columns)
        self.packed(packed.key, tokens, into: s.key.base, rows: all, columns: columns)
        self.packed(packed.value, tokens, into: s.value.base, rows: all, columns: columns)
        for head in heads { attend(head, queryStarts: starts) }
        kernels.quantise(s.context.base, stride: shape.hidden, rows: 0..<rows, columns: columns, into: s.contextCodes.codes)
        crew.wait()
        self.packed(packed.attended, s.contextCodes.codes, into: s.sum.base, rows: rows, residual: asking)
        crew.wait()
        kernels.layerNorm(layer.attentionNorm, s.sum.base, into: asking, rows: slice(of: rows))
        quantise(asking, rows: slice(of: rows), into: s.askingCodes.codes)
        crew.wait()
        kernels.packed(
            packed.up, x: s.askingCodes.codes, y: s.innerCodes.codes, rows: rows,
            columns: slice(of: shape.feedForward, unit: Kernels.fusedColumns), activation: shape.activation, scratch: own)
        crew.wait()
        self.packed(packed.down, s.innerCodes.codes, into: s.sum.base, rows: rows, residual: asking)
        crew.wait()
        kernels.layerNorm(layer.norm, s.sum.base, into: asking, rows: slice(of: rows))
        if !isLast { quantise(asking, rows: slice(of: rows), into: tokens) }
    }

    /// Whole rows of `x[rows][H]`.
    func quantise(_ x: Floats, rows: Range<Int>, into codes: Codes) {
        kernels.quantise(x, stride: model.shape.hidden, rows: rows, columns: 0..<model.shape.hidden, into: codes)
    }

    func packed(
        _ layer: PackedDense, _ x: Codes, into y: Floats, rows: Int, columns: Range<Int>? = nil, residual: Floats? = nil
    ) {
        kernels.packed(
            layer, x: x, y: y, rows: rows, columns: columns ?? slice(of: layer.outputs, unit: Kernels.tile),
            residual: residual, scratch: own)
    }

    /// A run of heads whose columns are whole groups, so that a thread can quantise what it read by itself.
    private var ownHeads: Range<Int> {
        let shape = model.shape
        let head = shape.hidden / shape.heads
        var unit = 1
        while unit < shape.heads, unit * head % Kernels.group != 0 { unit += 1 }
        return slice(of: shape.heads, unit: unit)
    }
}

extension Codes {
    /// The same from a row on.
    func from(_ row: Int, _ kernels: Kernels) -> Codes {
        Codes(
            base: base + row * depth * groups * Kernels.group * kernels.codeWidth, scales: scales + row * depth * groups,
            groups: groups, depth: depth, range: range)
    }
}
