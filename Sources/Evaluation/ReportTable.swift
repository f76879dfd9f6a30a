public import Explain

extension Report {
    /// For a terminal: 80 columns where names are short, Chinese counted as wide as it is.
    public func table(in language: Language) -> String {
        var blocks = [labels.model.plain + "\n" + subtitle(in: language) + "\n", figuresTable(in: language)]
        let changes = changesTable(in: language)
        if !changes.isEmpty { blocks.append(changes) }
        return blocks.joined(separator: "\n")
    }

    static func headings(in language: Language) -> [String] {
        let names = [
            Bilingual("Suite", zh: "题集"), Bilingual("Rows", zh: "题数"), Bilingual("Top-1", zh: "前 1"),
            Bilingual("Top-3", zh: "前 3"), Bilingual("Top-5", zh: "前 5"), Measure.mrr.name, Measure.ece.name,
            Bilingual("Right", zh: "答对"), Bilingual("Wrong", zh: "答错"),
        ]
        return names.map { $0.text(in: language) } + ["p50", "p99"]
    }

    static func cells(of part: Part, in language: Language) -> [String] {
        let figures = part.figures
        return [
            part.name.text(in: language), "\(figures.rows)", figures.top1.percent, figures.top3.percent,
            figures.top5.percent, figures.mrr.fixed(3), figures.ece.fixed(3), figures.meanRight?.fixed(2) ?? "-",
            figures.meanWrong?.fixed(2) ?? "-", figures.p50.milliseconds, figures.p99.milliseconds,
        ]
    }

    private func figuresTable(in language: Language) -> String {
        Self.aligned([Self.headings(in: language)] + parts.map { Self.cells(of: $0, in: language) })
            + Figures.note.text(in: language).wrapped(at: 78)
    }

    private func changesTable(in language: Language) -> String {
        let compared = parts.filter { $0.comparison != nil }
        guard !compared.isEmpty else { return "" }
        let headings = [
            Bilingual("Suite", zh: "题集"), Bilingual("Measure", zh: "指标"), Bilingual("Change", zh: "变化"),
            Bilingual("from", zh: "下限"), Bilingual("to", zh: "上限"),
        ]
        var rows = [headings.map { $0.text(in: language) } + [""]]
        for part in compared {
            guard let comparison = part.comparison else { continue }
            for measure in Measure.allCases {
                let difference = measure.difference(comparison)
                let sign = difference.excludesZero ? (measure.isBetter(difference) ? Self.better : Self.worse) : nil
                rows.append([
                    measure == .top1 ? part.name.text(in: language) : "", measure.name.text(in: language),
                    difference.value.points(), difference.low.points(), difference.high.points(),
                    sign?.text(in: language) ?? "",
                ])
            }
        }
        let note = Bilingual("Changes in hundredths, with 95 % intervals.", zh: "变化以百分之一为单位，附 95% 区间。")
        let notes = [note.text(in: language)] + compared.map { $0.said(in: language) }
        return Self.aligned(rows, left: [0, 1, 5]) + notes.map { $0.wrapped(at: 78) }.joined()
    }

    static let better = Bilingual("better", zh: "变好")
    static let worse = Bilingual("worse", zh: "变差")

    private static func aligned(_ rows: [[String]], left: Set<Int> = [0]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].columns }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { $1.padded(to: widths[$0], right: !left.contains($0)) }
            return cells.joined(separator: "  ").withoutTrailingBlanks + "\n"
        }.joined()
    }
}

extension String {
    fileprivate var withoutTrailingBlanks: String { String(reversed().drop { $0 == " " }.reversed()) }

    /// Lines of that many columns at most: broken at blanks, and anywhere in Chinese.
    fileprivate func wrapped(at width: Int) -> String {
        var lines = [""]
        var rest = self[...]
        while let first = rest.first {
            let isNarrow = String(first).columns < 2
            let word = isNarrow ? rest.prefix { $0 != " " && String($0).columns < 2 } : rest.prefix(1)
            let piece = first == " " ? rest.prefix(1) : word
            rest = rest.dropFirst(piece.count)
            let last = lines[lines.count - 1]
            // A full stop does not begin a line.
            if last.columns + String(piece).columns > width, !"，。：、；".contains(piece) {
                lines.append(piece == " " ? "" : String(piece))
            } else if !(last.isEmpty && piece == " ") {
                lines[lines.count - 1] += piece
            }
        }
        return lines.map { $0.withoutTrailingBlanks + "\n" }.joined()
    }
}

extension Report.Part {
    fileprivate func said(in language: Language) -> String {
        let verdict = comparison?.verdict ?? Bilingual("", zh: "")
        return Bilingual("\(name.en): \(verdict.en)", zh: "\(name.zh)：\(verdict.zh)").text(in: language)
    }
}
