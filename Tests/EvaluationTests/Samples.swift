import Evaluation

/// A suite whose every answer is 春, 东 being as right.
func suite(_ count: Int, name: String = "sample") throws -> Suite {
    let lines = (0..<count).map { "第\($0)句[MASK]风\t春\t东\n" }
    return try Suite(tsv: Array(("sentence\tanswer\talso\n" + lines.joined()).utf8), name: name)
}

/// An outcome with its right candidate at that rank (from 1), or without one.
func outcome(_ row: Int, rank: Int?, confidence: Double = 0.5, milliseconds: Double = 1) -> Outcome {
    var texts = ["夏", "秋", "冬", "雨", "雪", "云"]
    if let rank { texts[rank - 1] = rank.isMultiple(of: 2) ? "东" : "春" }
    let ranked = texts.enumerated().map { Ranked(text: $1, score: $0 == 0 ? confidence : 0.01) }
    return Outcome(row: row, ranked: ranked, milliseconds: milliseconds)
}

/// Numbers in [0, 1) that are the same in every run (Knuth's MMIX generator).
struct Dice {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func roll() -> Double {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Double(state >> 11) / Double(1 << 53)
    }
}
