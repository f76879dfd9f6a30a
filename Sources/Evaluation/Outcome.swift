/// What a model put into the blank of one row.
public struct Outcome: Sendable, Equatable {
    /// Its index in the suite, from 0.
    public let row: Int
    /// Best first; empty where the model had nothing to say.
    public let ranked: [Ranked]
    /// How long the answer took.
    public let milliseconds: Double

    public init(row: Int, ranked: [Ranked], milliseconds: Double) {
        (self.row, self.ranked, self.milliseconds) = (row, ranked, milliseconds)
    }
}

/// A candidate and the model's confidence in it, 0 to 1.
public struct Ranked: Sendable, Equatable {
    public let text: String
    public let score: Double

    public init(text: String, score: Double) {
        (self.text, self.score) = (text, score)
    }
}
