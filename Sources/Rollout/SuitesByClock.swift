import Explain
import ModelFormat
import StrictJSON

/// The live version answers the suites again from time to time, where nobody else wants the cores: the same version has to
/// give the same answers, so what changed is a disk, a list of terms, or a suite.
extension Rollout {
    /// How long the first look waits after a start: users come first.
    private static let firstLook: Duration = .seconds(60)

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
        let last = suitesRun(of: live.fingerprint).flatMap { $0["at"]?.string }.flatMap(WallClock.seconds(of:))
        guard let last else { return nil }
        let due = settings.suitesEvery - .seconds(max(0, WallClock.seconds - last))
        return due > .zero ? due : nil
    }

    private func suitesRun(of version: Fingerprint) -> JSON? { book.dossier(of: "\(version)")?["suites"]?.elements?.last }

    private func runSuites() async {
        guard let live = models.live else { return }
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
        guard models.live?.fingerprint == live.fingerprint, !evidence.domains.isEmpty else { return }
        keepSuites(evidence, of: live)
    }

    private func keepSuites(_ evidence: Evidence, of live: Version) {
        let before = suitesRun(of: live.fingerprint)?["marks"] ?? book.dossier(of: "\(live.fingerprint)")?["marks"]
        let drift = Self.drift(from: before, to: evidence)
        // What broke off has answered nothing: it is due again after a while, and not at once.
        let figures: JSON = .object(
            evidence.domains.sorted { $0.key < $1.key }.map { name, domain in
                let rows = Double(max(1, domain.first.rows))
                return .init(
                    name,
                    [
                        "rows": .integer(Int64(domain.first.rows)), "top1": .real(Double(domain.right) / rows),
                        "top3": .real(Double(domain.rightAmongThree) / rows), "ece": .real(domain.bins.error),
                    ])
            })
        addSuites(
            ["at": .string(WallClock.timestamp()), "complete": .bool(evidence.isShadowComplete), "figures": figures,
                "marks": evidence.marksJSON], of: live.fingerprint)
        guard evidence.isShadowComplete else { return }
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

    private func addSuites(_ run: JSON, of version: Fingerprint) {
        var members = book.dossier(of: "\(version)")?.members ?? []
        let runs = (members.first { $0.key == "suites" }?.value.elements ?? []).map { run in
            // Row by row only of the newest: it is what the next one is compared with.
            JSON.object((run.members ?? []).filter { $0.key != "marks" })
        }
        members.removeAll { $0.key == "suites" }
        members.append(.init("suites", .array(Array((runs + [run]).suffix(20)))))
        book.keepDossier(of: "\(version)", .object(members))
    }

    /// Suites whose rows are answered otherwise in more than chance explains, either way.
    static func drift(from before: JSON?, to evidence: Evidence) -> [String] {
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
