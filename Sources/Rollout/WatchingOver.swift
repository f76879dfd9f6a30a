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
        let start = version.tally.snapshot.traffic
        Task { await weak.rollout?.watchFrom(start, version) }
    }

    private func watchFrom(_ start: Evidence.Traffic, _ version: Version) async {
        var before = start
        let snapshotStart = models.snapshot?.tally.snapshot.traffic
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.look)
            // Somebody went back, or another one was committed: whose watch is another one's.
            guard models.live?.fingerprint == version.fingerprint, machine.watched(at: now) != nil else { return }
            let traffic = version.tally.snapshot.traffic
            breaker.add(answers: traffic.answers - before.answers, failures: traffic.failures - before.failures, at: now)
            before = traffic
            var findings: [Finding] = breaker.trip(at: now).map { [.tripped($0)] } ?? []
            if let snapshot = models.snapshot, snapshotStart != nil,
                let finding = Verdict.disapproval(candidate: traffic - start, live: snapshot.tally.snapshot.traffic)
            {
                findings.append(finding)
            }
            if !findings.isEmpty { return await trip(version, findings) }
        }
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

/// A watch of an hour must not keep a rollout that has stopped.
private struct WeakRollout: Sendable {
    weak let rollout: Rollout?
    init(_ rollout: Rollout) { self.rollout = rollout }
}
