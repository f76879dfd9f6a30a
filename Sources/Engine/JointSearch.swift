import Glibc

/// Fills several blanks together: the chain of a word over the pieces of all of them, in the order of rising entropy, with
/// a beam of the best few. Pure, as `SpanSearch` is.
package struct JointSearch {
    package static let width = 4

    struct Beam {
        /// In the order of the text; nil where nothing is filled yet.
        var pieces: [Int32?]
        var logP: Float
    }

    private(set) var beams: [Beam]
    private let order: [Int]
    private var step = 0

    /// - Parameters:
    ///   - entropies: of all positions, nothing being filled.
    ///   - logP: of the lengths.
    init(entropies: [Float], logP: Float) {
        order = SpanSearch.order(entropies)
        beams = [Beam(pieces: Array(repeating: nil, count: entropies.count), logP: logP)]
    }

    /// The position to be filled next; nil: all are.
    var place: Int? { step < order.count ? order[step] : nil }

    /// - Parameter positions: one a beam, at `place`.
    mutating func tell(_ positions: [SpanSearch.Position]) {
        guard let place else { return }
        var next: [Beam] = []
        for (beam, position) in zip(beams, positions) {
            for (id, logP) in position.best.prefix(Self.width) {
                var beam = beam
                beam.pieces[place] = id
                beam.logP += logP
                next.append(beam)
            }
        }
        next.sort { one, other in
            one.logP != other.logP
                ? one.logP > other.logP
                : one.pieces.lexicographicallyPrecedes(other.pieces) { ($0 ?? -1) < ($1 ?? -1) }
        }
        beams = Array(next.prefix(Self.width))
        step += 1
    }
}

extension SpanSearch {
    /// Positions by rising entropy, equal ones in the order of the text.
    static func order(_ entropies: [Float]) -> [Int] {
        entropies.indices.sorted { entropies[$0] != entropies[$1] ? entropies[$0] < entropies[$1] : $0 < $1 }
    }

    /// log softmax of `a·s + b`.
    static func logSoftmax(_ values: [Double]) -> [Float] {
        let most = values.max() ?? 0
        let sum = log(values.reduce(0) { $0 + exp($1 - most) }) + most
        return values.map { Float($0 - sum) }
    }
}
