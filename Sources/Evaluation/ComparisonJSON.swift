public import StrictJSON

extension Comparison {
    /// Differences as shares, each with its 95 % interval.
    public var json: JSON {
        [
            "rows": .integer(Int64(rows)), "resamples": .integer(Int64(Self.resamples)), "top1": top1.json,
            "top3": top3.json, "top5": top5.json, "mrr": mrr.json, "ece": ece.json,
            "drifted": .bool(drifted), "smallest_drop": .real(smallestDrop),
        ]
    }
}

extension Comparison.Difference {
    fileprivate var json: JSON { ["difference": .real(value), "low": .real(low), "high": .real(high)] }
}
