extension DossierPage {
    /// CommonMark with the tables of GitHub.
    var markdown: String {
        let bodies = parts.map { part in
            let heading = part.heading.isEmpty ? "" : "## \(part.heading.asMarkdown)\n\n"
            switch part.body {
            case .facts(let facts): return heading + Self.table([["", ""]] + facts.map { [$0, $1] })
            case .table(let rows): return heading + Self.table(rows)
            case .lines(let lines): return heading + lines.map { (part.heading.isEmpty ? "" : "- ") + $0.asMarkdown }.joined(separator: "\n")
            }
        }
        return (["# \(title.asMarkdown)"] + bodies).joined(separator: "\n\n")
    }

    private static func table(_ rows: [[String]]) -> String {
        func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
        let marks = rows[0].indices.map { $0 == 0 ? "---" : rows[0].count == 2 ? "---" : "---:" }
        let lines = rows.map { line($0.map(\.asMarkdown)) }
        return ([lines[0], line(marks)] + lines.dropFirst()).joined(separator: "\n")
    }
}

extension String {
    /// What means something within a line is escaped, a cell's end above all. What means something only at a line's
    /// beginning never stands there.
    fileprivate var asMarkdown: String {
        var text = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if "\\`*_[]<>#|~&$".unicodeScalars.contains(scalar) { text.append("\\") }
            text.append(scalar)
        }
        return String(text)
    }
}
