import Engine
import Explain
import ModelFormat
import StrictJSON

/// After a commit: the version is watched against its snapshot for a while, and left for it when it fails.
extension Rollout {
    private static let look: Duration = .seconds(1)

    func watchOver(_ version: Version, _ subject: String) {
        breaker = Breaker()
        machine.watch(subject, until: now + settings.watchAfterCommit)
        let weak = WeakRollout(self)
        let watching = Watching(version: version, start: version.tally.snapshot.traffic)
        Task {
            var watching = watching
            // Held for a look at a time: a watch of an hour must not keep a rollout that has stopped.
            while await weak.rollout?.look(&watching) == true { try? await Task.sleep(for: Self.look) }
        }
    }

    private struct Watching: Sendable {
        let version: Version
        let start: Evidence.Traffic
        var before: Evidence.Traffic

        init(version: Version, start: Evidence.Traffic) { (self.version, self.start, before) = (version, start, start) }
    }

    /// - Returns: whether it is to be looked at again.
    private func look(_ watching: inout Watching) async -> Bool {
        let version = watching.version
        // Somebody went back, or another one was committed: whose watch is another one's.
        guard models.live?.fingerprint == version.fingerprint, machine.watched(at: now) != nil else {
            publish()
            return false
        }
        let traffic = version.tally.snapshot.traffic
        breaker.add(
            answers: traffic.answers - watching.before.answers, failures: traffic.failures - watching.before.failures, at: now)
        watching.before = traffic
        var findings: [Finding] = breaker.trip(at: now).map { [.tripped($0)] } ?? []
        if let snapshot = models.snapshot?.tally.snapshot.traffic,
            let finding = Verdict.disapproval(candidate: traffic - watching.start, live: snapshot)
        {
            findings.append(finding)
        }
        if findings.isEmpty { return true }
        await trip(version, findings)
        return false
    }

    private func trip(_ version: Version, _ findings: [Finding]) async {
        let reason = findings.map(\.message.en).joined(separator: "; ")
        machine.endWatch()
        metrics.change { $0.trips += 1 }
        addVerdict(.rollBack(findings), at: "after the commit", to: version.fingerprint)
        do throws(RolloutError) {
            guard models.live?.fingerprint == version.fingerprint else { return }
            // What is being tried was made from what is left now.
            models.dropCandidate()
            _ = try await goBack(reason: reason, by: "breaker")
        } catch {
            note(.error, "the breaker found nothing to go back to", [("reason", error.message.en)])
        }
    }
}

private struct WeakRollout: Sendable {
    weak let rollout: Rollout?
    init(_ rollout: Rollout) { self.rollout = rollout }
}
