import Ledger
import Synchronization

/// The last questions of clients, scrubbed before they are kept; in memory alone, never on disk. A candidate is asked
/// them too before it answers anybody.
public final class RecentQuestions: Sendable {
    static let most = 200
    /// Scalars; a longer one is nobody's everyday question, and reading it takes time.
    private static let longest = 200

    private struct State {
        var texts: [String] = []
        var next = 0
        var isKnown: Set<Int> = []
    }
    private let state = Mutex(State())

    public init() {}

    public func keep(_ text: String) {
        guard text.utf8.count <= Self.longest * 4 else { return }
        let hash = text.hashValue
        // What is asked again and again is one question.
        let isNew = state.withLock { state in
            if state.isKnown.count > 8 * Self.most { state.isKnown.removeAll(keepingCapacity: true) }
            return state.isKnown.insert(hash).inserted
        }
        guard isNew else { return }
        let scrubbed = Scrubber.scrub(text).text
        state.withLock { state in
            if state.texts.count < Self.most { state.texts.append(scrubbed) } else { state.texts[state.next] = scrubbed }
            state.next = (state.next + 1) % Self.most
        }
    }

    public var texts: [String] { state.withLock { $0.texts } }
}
