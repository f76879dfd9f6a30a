import Engine
import ModelFormat
import Rollout

/// The rollout's part of `/metrics`.
extension PrometheusText {
    mutating func add(_ rollout: RolloutMetrics.Snapshot) {
        begin("tiankong_patches_total", "counter", "Dropped files by how they ended.")
        for status in ["committed", "refused", "rolled-back", "superseded", "duplicate"] {
            line("tiankong_patches_total", [("status", status)], Double(rollout.patches[status] ?? 0))
        }
        gauge("tiankong_patches_waiting", "Patches that wait for their base.", Double(rollout.waiting))
        begin("tiankong_intake_seconds", "histogram", "From a patch's last change to merged and synced.")
        histogram("tiankong_intake_seconds", [], rollout.intakes)
        begin("tiankong_swap_seconds", "histogram", "From merged to the first answer by the new version.")
        histogram("tiankong_swap_seconds", [], rollout.swaps)
        begin("tiankong_rollback_seconds", "histogram", "From an order to go back to the exchanged reference.")
        histogram("tiankong_rollback_seconds", [], rollout.rollbacks)
        begin("tiankong_verdicts_total", "counter", "Verdicts by their word.")
        for verdict in ["promote", "roll-back", "not-enough-evidence"] {
            line("tiankong_verdicts_total", [("verdict", verdict)], Double(rollout.verdicts[verdict] ?? 0))
        }
        counter("tiankong_breaker_trips_total", "Versions left by themselves after their commit.", UInt64(rollout.trips))
        addShadow(rollout.shadow.sorted { $0.key < $1.key })
    }

    private mutating func addShadow(_ suites: [(key: String, value: RolloutMetrics.Snapshot.Shadow)]) {
        begin("tiankong_shadow_pairs_total", "counter", "Questions to both versions, by whether both have the same first candidate.")
        for (suite, counts) in suites {
            line("tiankong_shadow_pairs_total", [("suite", suite), ("outcome", "same")], Double(counts.same))
            line("tiankong_shadow_pairs_total", [("suite", suite), ("outcome", "different")], Double(counts.different))
        }
        begin("tiankong_shadow_rightness_total", "counter", "Questions that only the live version had right (lost), or only the candidate (gained).")
        for (suite, counts) in suites where suite != "recent" {
            line("tiankong_shadow_rightness_total", [("suite", suite), ("change", "lost")], Double(counts.lost))
            line("tiankong_shadow_rightness_total", [("suite", suite), ("change", "gained")], Double(counts.gained))
        }
    }

    mutating func add(_ standing: Standing, hooks: [Hooks.Outcome: Int]) {
        begin("tiankong_rollout_phase", "gauge", "1 for the phase that the trial is in.")
        for phase in Standing.phases { line("tiankong_rollout_phase", [("phase", phase)], phase == standing.phase ? 1 : 0) }
        gauge("tiankong_rollout_share_percent", "Of the clients, answered by the candidate.", Double(standing.share))
        gauge("tiankong_pinned", "1 while nothing new begins until resume.", standing.pin == nil ? 0 : 1)
        gauge("tiankong_event_listeners", "Who is told what happens, the hooks among them.", Double(standing.listeners))
        begin("tiankong_hooks_total", "counter", "Hooks by how they ended; events that there was no room for.")
        for outcome in Hooks.Outcome.allCases {
            line("tiankong_hooks_total", [("outcome", outcome.rawValue)], Double(hooks[outcome] ?? 0))
        }
    }
}

/// Each version that is ready to answer, by what it is. A series ends with its role: what was the candidate goes on as
/// the live one.
extension PrometheusText {
    private struct Part {
        let labels: [(String, String)]
        let tally: Tally.Snapshot
        let bytes: Int
    }

    mutating func add(_ models: ModelSwitch) {
        let versions = [("live", models.live), ("snapshot", models.snapshot), ("candidate", models.candidate)]
        let parts = versions.compactMap { role, version in
            version.map { version in
                Part(
                    labels: [("role", role), ("release", version.release)], tally: version.tally.snapshot,
                    bytes: version.fillMask.contents.tensors.reduce(0) { $0 + $1.byteCount })
            }
        }
        begin("tiankong_version_answers_total", "counter", "Questions that a version answered clients.")
        for part in parts { line("tiankong_version_answers_total", part.labels, Double(part.tally.answers)) }
        begin("tiankong_version_failures_total", "counter", "Questions that a version failed clients, by its own fault.")
        for part in parts {
            for kind in Tally.Failure.allCases {
                line(
                    "tiankong_version_failures_total", part.labels + [("kind", kind.rawValue)], Double(part.tally.failures[kind] ?? 0))
            }
        }
        begin("tiankong_version_seconds", "histogram", "How long a version's answers took.")
        for part in parts { histogram("tiankong_version_seconds", part.labels, part.tally.seconds) }
        begin("tiankong_version_confidence", "histogram", "Of first candidates.")
        for part in parts { histogram("tiankong_version_confidence", part.labels, part.tally.confidence) }
        begin("tiankong_version_bytes", "gauge", "Of a version's tensors; what versions share is counted with each.")
        for part in parts { line("tiankong_version_bytes", part.labels, Double(part.bytes)) }
    }
}
