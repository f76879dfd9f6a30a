import Explain

/// What is compared, in the order it is shown in.
enum Measure: CaseIterable {
    case top1, top3, top5, mrr, ece

    var name: Bilingual {
        switch self {
        case .top1: Bilingual("Top-1", zh: "前 1 命中")
        case .top3: Bilingual("Top-3", zh: "前 3 命中")
        case .top5: Bilingual("Top-5", zh: "前 5 命中")
        case .mrr: Bilingual("MRR", zh: "MRR")
        case .ece: Bilingual("ECE", zh: "ECE")
        }
    }

    func difference(_ comparison: Comparison) -> Comparison.Difference {
        switch self {
        case .top1: comparison.top1
        case .top3: comparison.top3
        case .top5: comparison.top5
        case .mrr: comparison.mrr
        case .ece: comparison.ece
        }
    }

    /// Of an error less is better.
    func isBetter(_ difference: Comparison.Difference) -> Bool { (difference.value > 0) != (self == .ece) }
}

extension Comparison {
    /// One sentence on what the intervals say, and what they could not have said.
    var verdict: Bilingual {
        let least = smallestDrop.points(signed: false)
        return drifted
            ? Bilingual(
                "Drifted: top-1 or top-3 changed by more than chance explains.", zh: "已漂移：前 1 或前 3 命中率的变化超出偶然。")
            : Bilingual(
                "No drift shown. On these \(rows) rows a drop of top-1 shows from about \(least) points on.",
                zh: "未见漂移。以这 \(rows) 题，前 1 命中率约下降 \(least) 个百分点以上才能看出。")
    }
}

extension Figures {
    static let note = Bilingual(
        """
        Top-n: rows with a right answer among the first n. MRR: mean reciprocal rank. ECE: expected calibration error. \
        Right, wrong: mean confidence of first answers that were right, wrong. p50, p99: milliseconds.
        """,
        zh: "前 n：前 n 个答案中有正确答案的比例。MRR：平均倒数排名。ECE：期望校准误差。答对、答错：首选答案正确、错误时的平均置信度。p50、p99：毫秒。")
}
