public import StrictJSON
import Synchronization

/// What happens, for who watches: history lines as they are written, and what is not worth a line. Nobody who listens
/// can hold anything up: who is slow misses events, and learns so by their numbers.
public final class EventHub: Sendable {
    public enum Topic: String, Sendable, CaseIterable { case intake, rollout, verdict, rollback, health }

    public struct Event: Sendable {
        /// From 1, one more each.
        public let number: Int
        /// RFC 3339, UTC.
        public let at: String
        public let topic: Topic
        public let kind: String
        public let body: JSON

        public var json: JSON {
            ["number": .integer(Int64(number)), "at": .string(at), "topic": .string(topic.rawValue), "kind": .string(kind), "body": body]
        }
    }

    /// What a listener may be behind, and what one who comes back may ask for.
    public static let kept = 256
    public static let mostListeners = 64

    private struct State {
        var last = 0
        var recent: [Event] = []
        var listeners: [Int: AsyncStream<Event>.Continuation] = [:]
        var tickets = 0
    }
    private let state = Mutex(State())

    public init() {}

    public func post(_ topic: Topic, _ kind: String, _ body: JSON) {
        state.withLock { state in
            state.last += 1
            let event = Event(number: state.last, at: WallClock.timestamp(), topic: topic, kind: kind, body: body)
            state.recent.append(event)
            if state.recent.count > Self.kept { state.recent.removeFirst(state.recent.count - Self.kept) }
            for listener in state.listeners.values { listener.yield(event) }
        }
    }

    /// - Parameter number: the last event the listener had; nil: only what comes from now on.
    /// - Returns: nil where too many listen.
    public func listen(after number: Int? = nil) -> AsyncStream<Event>? {
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingNewest(Self.kept))
        let ticket = state.withLock { state -> Int? in
            guard state.listeners.count < Self.mostListeners else { return nil }
            state.tickets += 1
            state.listeners[state.tickets] = continuation
            // Of an earlier process, whose numbers began anew: everything is news.
            let last = number.map { $0 > state.last ? 0 : $0 } ?? state.last
            for event in state.recent where event.number > last { continuation.yield(event) }
            return state.tickets
        }
        guard let ticket else { return nil }
        continuation.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.listeners.removeValue(forKey: ticket) }
        }
        return stream
    }

    var listeners: Int { state.withLock { $0.listeners.count } }

    /// Everybody's stream ends.
    func close() {
        let all = state.withLock { state in
            defer { state.listeners = [:] }
            return Array(state.listeners.values)
        }
        for listener in all { listener.finish() }
    }
}

extension EventHub.Topic {
    /// Of a history line's kind.
    init(kind: String) {
        switch kind {
        case "committed", "imported", "shadowed", "stage", "promoted", "pinned", "unpinned", "trying": self = .rollout
        case "verdict", "suites": self = .verdict
        case "rolled-back": self = .rollback
        case "started", "recovered", "damaged", "removed": self = .health
        default: self = .intake
        }
    }
}
