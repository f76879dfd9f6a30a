import Explain
import ModelFormat
import ModelStore
public import StrictJSON

/// The operator's hand on the rollout. Orders win over evidence that is not there yet; over evidence that a candidate
/// fails, none does (`RolloutMachine`).
extension Rollout {
    /// The candidate is committed at once, whatever is still missing.
    public func promote(by: String, reason: String?) throws(RolloutError) -> JSON {
        guard machine.promote() else { throw .nothingToPromote }
        record("promoted", orderBody(by, reason))
        publish()
        return rolloutJSON
    }

    /// A candidate stays at its stage, and nothing new begins; until `resume`, over restarts too.
    public func hold(by: String, reason: String?) throws(RolloutError) -> JSON {
        do { try store.keepPin(.init(by: by, reason: reason, since: WallClock.timestamp())) } catch { throw .store(error) }
        machine.hold(.init(by: by, reason: reason))
        heldReason = nil
        record("pinned", orderBody(by, reason))
        publish()
        return rolloutJSON
    }

    /// - Returns: nothing is held any more; nothing happens where nothing was.
    public func resume(by: String, reason: String?) throws(RolloutError) -> JSON {
        do { try store.removePin() } catch { throw .store(error) }
        if machine.resume() { record("unpinned", orderBody(by, reason)) }
        publish()
        wake()
        return rolloutJSON
    }

    private func orderBody(_ by: String, _ reason: String?) -> [JSON.Member] {
        var body: [JSON.Member] = [.init("by", .string(by))]
        if let subject = machine.trial?.subject { body.append(.init("subject", .string(subject))) }
        if let reason { body.append(.init("reason", .string(reason))) }
        return body
    }
}
