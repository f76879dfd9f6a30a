import Explain
public import StrictJSON

/// Figures of a model on its suites, to be read in a terminal, by a program or in a browser.
public struct Report: Sendable {
    /// What the figures are of. All of it is shown as it is given.
    public struct Labels: Sendable, Equatable {
        public let model: String
        public let release: String
        /// Short, as it is said elsewhere.
        public let fingerprint: String
        public let date: String
        /// The release that comparisons are with.
        public let against: String?

        public init(model: String, release: String, fingerprint: String, date: String, against: String? = nil) {
            (self.model, self.release, self.fingerprint, self.date) = (model, release, fingerprint, date)
            self.against = against
        }
    }

    /// One suite; or all of them together, without a name.
    public struct Part: Sendable, Equatable {
        public let suite: String?
        public let figures: Figures
        public let comparison: Comparison?

        /// - Parameter suite: its name; nil for all suites together.
        public init(suite: String?, figures: Figures, comparison: Comparison? = nil) {
            (self.suite, self.figures, self.comparison) = (suite, figures, comparison)
        }

        var name: Bilingual { suite.map { Bilingual($0.plain, zh: $0.plain) } ?? Bilingual("All suites", zh: "全部题集") }
    }

    public let labels: Labels
    /// In the order they are shown in.
    public let parts: [Part]

    public init(labels: Labels, parts: [Part]) {
        (self.labels, self.parts) = (labels, parts)
    }

    /// Labels, then `suites` with `figures` and, where there is one, `comparison`; a `name` of null is all of them
    /// together.
    public var json: JSON {
        [
            "model": .string(labels.model), "release": .string(labels.release),
            "fingerprint": .string(labels.fingerprint),
            "date": .string(labels.date), "against": labels.against.map(JSON.string) ?? .null,
            "suites": .array(parts.map(\.json)),
        ]
    }

    /// What stands above everything: the model, its release and fingerprint, when, and what it is compared with.
    func subtitle(in language: Language) -> String {
        let against = labels.against.map { Bilingual("against \($0.plain)", zh: "对比 \($0.plain)").text(in: language) }
        let parts = [labels.release.plain, labels.fingerprint.plain, labels.date.plain, against ?? ""]
        return parts.filter { !$0.isEmpty }.joined(separator: " | ")
    }
}

extension Report.Part {
    fileprivate var json: JSON {
        var members = [
            JSON.Member("name", suite.map(JSON.string) ?? .null), JSON.Member("figures", figures.json),
        ]
        if let comparison { members.append(JSON.Member("comparison", comparison.json)) }
        return .object(members)
    }
}
