import Explain
import ModelFormat
package import StrictJSON

/// The live version answers the suites again from time to time, where nobody else wants the cores: the same version has to
/// give the same answers, so what changed is a disk, a list of terms, or a suite.
extension Rollout {
    /// How long the first look waits after a start: users come first.
    private static let firstLook: Duration = .seconds(60)
    /// How often at most, whatever happens.
    private static let atMost: Duration = .seconds(3600)

    func runSuitesByClock() async {
        let first = min(Self.firstLook, settings.suitesEvery)
        try? await Task.sleep(for: first)
        while !Task.isCancelled {
            if let wait = untilSuites() {
                try? await Task.sleep(for: min(wait, .seconds(3600)))
                continue
            }
            await runSuites()
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// nil: now.
    private func untilSuites() -> Duration? {
        guard machine.trial == nil, let live = models.live else { return .seconds(10) }
        // What broke off has written nothing down; it must not begin again at once and for ever.
        let pause = min(Self.atMost, settings.suitesEvery)
        if let suitesBegun, now - suitesBegun < pause { return pause - (now - suitesBegun) }
        let last = suitesRun(of: live.fingerprint).flatMap { $0["at"]?.string }.flatMap(WallClock.seconds(of:))
        guard let last else { return nil }
        let due = settings.suitesEvery - .seconds(max(0, WallClock.seconds - last))
        return due > .zero ? due : nil
    }

    private func suitesRun(of version: Fingerprint) -> JSON? { book.dossier(of: "\(version)")?["suites"]?.elements?.last }

    private func runSuites() async {
        guard let live = models.live else { return }
        suitesBegun = now
        let order = ShadowOrder(live: live.fingerprint, candidate: live.fingerprint, recent: [])
        let stream = settings.shadow?(order)
            ?? ShadowRun(live: live, candidate: live, precision: settings.precision).events(settings.suites(), recent: [])
        var evidence = Evidence()
        for await event in stream {
            // A trial wants the same cores; the suites can wait.
            if machine.trial != nil || Task.isCancelled { return }
            switch event {
            case .pair(let pair): evidence.add(pair)
            case .complete: evidence.isShadowComplete = true
            case .ready: break
            case .broke(let reason), .unavailable(let reason):
                note(.warning, "the suites were not answered", [("reason", reason)])
                record("suites", [.init("version", .string("\(live.fingerprint)")), .init("reason", .string(reason))])
            }
        }
        guard models.live?.fingerprint == live.fingerprint, evidence.isShadowComplete, !evidence.domains.isEmpty else { return }
        keepSuites(evidence, of: live)
    }

    private func keepSuites(_ evidence: Evidence, of live: Version) {
        let before = suitesRun(of: live.fingerprint)?["marks"] ?? book.dossier(of: "\(live.fingerprint)")?["marks"]
        let drift = Self.drift(from: before, to: evidence)
        let figures = evidence.figures(against: nil)
        // Row by row only of the newest: it is what the next one is compared with.
        add(
            ["at": .string(WallClock.timestamp()), "figures": figures, "marks": evidence.marksJSON], to: "suites",
            of: live.fingerprint, thinning: { .object(($0.members ?? []).filter { $0.key != "marks" }) })
        record(
            "suites",
            [
                .init("version", .string("\(live.fingerprint)")), .init("release", .string(live.release)), .init("figures", figures),
                .init("drift", .array(drift.map { .string($0) })),
            ])
        if !drift.isEmpty {
            note(.warning, "the live version answers its suites otherwise than before", [("suites", drift.joined(separator: ", "))])
        }
    }

    /// Suites whose rows are answered otherwise in more than chance explains, either way.
    package static func drift(from before: JSON?, to evidence: Evidence) -> [String] {
        evidence.domains.sorted { $0.key < $1.key }.compactMap { name, domain in
            guard let text = before?[name]?.string else { return nil }
            let old = text.utf8.compactMap { $0 >= 48 && $0 <= 50 ? UInt8($0 - 48) : nil }
            // Other rows than then: there is nothing to compare.
            guard old.count == domain.marks.count else { return nil }
            var (first, reverse) = (PairedCounts(), PairedCounts())
            for (one, other) in zip(old, domain.marks) {
                first.add(one == 2, other == 2)
                reverse.add(other == 2, one == 2)
            }
            return first.isRegression || reverse.isRegression ? name : nil
        }
    }
}
