/// A word or phrase of the site's own.
public struct Term: Sendable, Hashable {
    /// 1…64 Unicode scalars, nothing hidden among them, and no `[MASK]`.
    public let text: String
    /// The factor by which a candidate's probability is raised, above 1 and at most 1000; nil where the site gives none.
    public let weight: Double?
    /// At most 64 Unicode scalars, nothing hidden among them; nil where the site gives none.
    public let domain: String?

    /// Takes all as it is: the rules are those of a line in a file.
    public init(text: String, weight: Double? = nil, domain: String? = nil) {
        self.text = text
        self.weight = weight
        self.domain = domain
    }

    /// Unicode scalars of a text or a domain.
    public static let mostScalars = 64
    public static let mostWeight = 1000.0
}
