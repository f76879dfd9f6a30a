import Explain
import Logging
import Rollout
import StrictJSON
import Synchronization

/// Tells the programs of the hooks folder what happens: one after the other, an event after the other, on a task of its
/// own. Whatever a program does, and however long, nothing here waits for it; what there is no room for is dropped, and
/// counted.
final class Hooks: Sendable {
    enum Outcome: String, Sendable, CaseIterable { case ok, failed, timeout, dropped }

    /// Events that wait.
    private static let queue = 64
    /// For those that wait, when the service stops.
    private static let farewell: Duration = .seconds(2)

    private struct State {
        var counts: [Outcome: Int] = [:]
        var work: Task<Void, Never>?
        /// Said already.
        var refusals: [HookFolder.Refusal] = []
    }
    private let state = Mutex(State())
    private let folder: String
    private let logger: Logger

    init(folder: String, logger: Logger) {
        (self.folder, self.logger) = (folder, logger)
    }

    /// Of programs that were run, and of events that were dropped.
    var counts: [Outcome: Int] { state.withLock { $0.counts } }

    /// Listens from now on, until the events end.
    func begin(_ events: EventHub) {
        guard let stream = events.listen() else { return }
        let (waiting, input) = AsyncStream.makeStream(of: EventHub.Event.self, bufferingPolicy: .bufferingOldest(Self.queue))
        let work = Task {
            async let done: Void = { for await event in waiting { await tell(event) } }()
            for await event in stream where event.isForHooks {
                if case .dropped = input.yield(event) { count(.dropped) }
            }
            input.finish()
            await done
        }
        state.withLock { $0.work = work }
    }

    /// Call after the events have ended. What runs and what waits has a moment left; then it is ended.
    func end() async {
        guard let work = state.withLock({ $0.work.take() }) else { return }
        let late = Task {
            try? await Task.sleep(for: Self.farewell)
            work.cancel()
        }
        await work.value
        late.cancel()
    }

    private func tell(_ event: EventHub.Event) async {
        let found = HookFolder(folder)
        say(found.refusals)
        for program in found.programs where !Task.isCancelled {
            let run = HookRun(program: program, event: event, logger: logger)
            count(await run.outcome())
        }
    }

    private func count(_ outcome: Outcome) {
        state.withLock { $0.counts[outcome, default: 0] += 1 }
    }

    /// Once, until it is mended.
    private func say(_ refusals: [HookFolder.Refusal]) {
        let new = state.withLock { state in
            defer { state.refusals = refusals }
            return refusals.filter { !state.refusals.contains($0) }
        }
        for refusal in new {
            logger.warning("a hook is not run", metadata: ["reason": "\(refusal.message.en)", "hint": "\(refusal.hint?.en ?? "")"])
        }
    }
}

extension EventHub.Event {
    /// Steps of an intake are nobody's business; how it ends is.
    fileprivate var isForHooks: Bool {
        switch topic {
        case .rollback, .verdict, .rollout, .health: true
        case .intake: ["committed", "refused", "held"].contains(kind)
        }
    }
}
