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
        let watching = Watching(version)
        Task {
            var watching = watching
            // Held for a look at a time: a watch of an hour must not keep a rollout that has stopped.
            while await weak.rollout?.look(&watching) == true { try? await Task.sleep(for: Self.look) }
        }
    }

    private struct Watching: Sendable {
        /// Not the version itself: it may be opened anew meanwhile, and an hour is long.
        let version: Fingerprint
        let tally: Tally
        let start: Evidence.Traffic
        var before: Evidence.Traffic

        init(_ version: Version) {
            (self.version, tally) = (version.fingerprint, version.tally)
            start = tally.snapshot.traffic
            before = start
        }
    }

    /// - Returns: whether it is to be looked at again.
    private func look(_ watching: inout Watching) async -> Bool {
        // Somebody went back, or another one was committed: whose watch is another one's.
        guard models.live?.fingerprint == watching.version, machine.watched(at: now) != nil else {
            publish()
            return false
        }
        let traffic = watching.tally.snapshot.traffic
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
        await trip(watching.version, findings)
        return false
    }

    private func trip(_ version: Fingerprint, _ findings: [Finding]) async {
        let reason = findings.map(\.message.en).joined(separator: "; ")
        machine.endWatch()
        metrics.change { $0.trips += 1 }
        addVerdict(.rollBack(findings), at: "after the commit", to: version)
        do throws(RolloutError) {
            // What is being tried was made from what is left now, and ends with it.
            if leaveLive(reason: reason, by: "breaker") != nil { return }
            _ = try await goBackByLoading(nil, reason: reason, by: "breaker")
        } catch {
            note(.error, "the breaker found nothing to go back to", [("reason", error.message.en)])
        }
    }
}

private struct WeakRollout: Sendable {
    weak let rollout: Rollout?
    init(_ rollout: Rollout) { self.rollout = rollout }
}
