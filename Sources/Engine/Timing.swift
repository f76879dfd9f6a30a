import ModelFormat

/// For who measures: passes over token ids, without text around them.
extension FillMask {
    /// One pass, with what an answer takes of it: five candidates a blank.
    ///
    /// - Returns: how long from asking to having it.
    package func timePass(_ sequences: [[Int32]], precision: Precision) async throws(EngineError) -> Duration {
        let batch = batch(of: sequences)
        let start = ContinuousClock.now
        _ = try await run(batch, Wanted(top: 5), precision)
        return .now - start
    }

    /// What the arithmetic of one pass is at least, in operations: of matrices of weights, and of attention.
    package func operations(_ sequences: [Int]) -> (weights: Double, attention: Double) {
        let shape = contents.shape
        let (hidden, inner, layers) = (Double(shape.hidden), Double(shape.feedForward), Double(shape.layers))
        let tokens = Double(sequences.reduce(0, +)), blanks = Double(sequences.count)
        // In the last layer only keys and values are needed of all tokens.
        let layer = 4 * hidden * hidden + 2 * hidden * inner
        let weights = tokens * (layer * (layers - 1) + 2 * hidden * hidden)
            + blanks * (layer - 2 * hidden * hidden + hidden * hidden + hidden * Double(shape.vocabulary))
        let squares = sequences.reduce(0) { $0 + Double($1) * Double($1) }
        return (2 * weights, 4 * hidden * (squares * (layers - 1) + tokens))
    }

    /// Bytes of weights that a pass reads.
    package func bytesRead(_ precision: Precision) -> Double {
        let matrices = PackedMatrix.all(of: contents)
        switch precision {
        case .fast: return matrices.reduce(0) { $0 + Double($1.byteCount) }
        case .exact: return matrices.reduce(0) { $0 + Double($1.tensor.byteCount) }
        }
    }
}
