import Explain
public import StrictJSON

extension Figures {
    /// An object with a member for each figure, times in milliseconds; `mean_right` and `mean_wrong` can be null.
    public var json: JSON {
        [
            "rows": .integer(Int64(rows)), "top1": .real(top1), "top3": .real(top3), "top5": .real(top5),
            "mrr": .real(mrr), "ece": .real(ece), "mean_right": meanRight.map(JSON.real) ?? .null,
            "mean_wrong": meanWrong.map(JSON.real) ?? .null,
            "bins": .array(bins.map(\.json)), "p50_ms": .real(p50), "p99_ms": .real(p99),
        ]
    }

    /// Figures that were kept. Members that a later version added are passed over.
    ///
    /// - Parameter object: whose figures, for messages.
    /// - Throws: `.figures`.
    public init(_ json: JSON, of object: String) throws(EvaluationError) {
        let reader = FiguresReader(json: json, object: object)
        rows = try reader.count("rows", json["rows"])
        top1 = try reader.share("top1")
        top3 = try reader.share("top3")
        top5 = try reader.share("top5")
        mrr = try reader.share("mrr")
        ece = try reader.share("ece")
        meanRight = try reader.shareOrNull("mean_right")
        meanWrong = try reader.shareOrNull("mean_wrong")
        bins = try reader.bins(of: rows)
        p50 = try reader.number("p50_ms", json["p50_ms"])
        p99 = try reader.number("p99_ms", json["p99_ms"])
    }
}

extension Figures.Bin {
    fileprivate var json: JSON {
        ["count": .integer(Int64(count)), "confidence": .real(confidence), "right": .integer(Int64(right))]
    }
}

private struct FiguresReader {
    let json: JSON
    let object: String

    private func refusal(_ field: String, _ expected: String, found: String?) -> EvaluationError {
        .figures(object: object, Detail(field: field, expected: expected, found: found ?? "none"))
    }

    func number(_ field: String, _ value: JSON?) throws(EvaluationError) -> Double {
        guard let real = value?.real else { throw refusal(field, "a number", found: value?.kind) }
        guard real >= 0 else { throw refusal(field, "a number of at least 0", found: "\(real)") }
        return real
    }

    func count(_ field: String, _ value: JSON?) throws(EvaluationError) -> Int {
        guard let count = value?.integer, count >= 0 else {
            throw refusal(field, "a whole number of at least 0", found: value?.real.map { "\($0)" } ?? value?.kind)
        }
        return count
    }

    func share(_ field: String) throws(EvaluationError) -> Double {
        let share = try number(field, json[field])
        // Sums of shares that are rounded can end a little above.
        guard share <= 1 + 1e-9 else { throw refusal(field, "0 to 1", found: "\(share)") }
        return share
    }

    func shareOrNull(_ field: String) throws(EvaluationError) -> Double? {
        if case .null = json[field] { nil } else { try share(field) }
    }

    func bins(of rows: Int) throws(EvaluationError) -> [Figures.Bin] {
        let elements = json["bins"]?.elements ?? []
        guard elements.count == Figures.binCount else {
            throw refusal("bins", "\(Figures.binCount) bins", found: "\(elements.count)")
        }
        var bins: [Figures.Bin] = []
        var left = rows
        for (index, element) in elements.enumerated() {
            let count = try count("bins[\(index)].count", element["count"])
            let right = try self.count("bins[\(index)].right", element["right"])
            guard right <= count else { throw refusal("bins[\(index)].right", "at most \(count)", found: "\(right)") }
            guard count <= left else { throw refusal("bins", "\(rows) rows in all", found: "more") }
            left -= count
            let confidence = try number("bins[\(index)].confidence", element["confidence"])
            bins.append(Figures.Bin(count: count, confidence: confidence, right: right))
        }
        guard left == 0 else { throw refusal("bins", "\(rows) rows in all", found: "\(rows - left)") }
        return bins
    }
}
