import Engine
import Explain
import Disk
import ModelFormat
import ModelStore
import PatchFormat
import StrictJSON
import Synchronization

/// What a trial is about, for as long as it lasts.
struct Errand: Sendable {
    let ticket: Int
    /// Of orders to go back, when it began.
    let generation: Int
    /// What answered then.
    let live: Version
    let policy: Policy
    /// The dropped file; nil for an import.
    let file: (name: String, before: DroppedFile)?
}

/// Where somebody asks without a pause, nothing that runs only on idle cores gets on: then the pool leaves the cores alone
/// for a moment after each question.
private final class Pace {
    private static let look: Duration = .seconds(5)
    /// Questions in that time.
    private static let fewest = 40

    private let pool: WorkerPool
    private var courtesy: Courtesy?
    private var since: Duration?
    private var steps = 0

    init(pool: WorkerPool) { self.pool = pool }

    func step(at now: Duration) {
        steps += 1
        guard let since else { return self.since = now }
        guard courtesy == nil, now - since > Self.look else { return }
        if steps < Self.fewest { courtesy = pool.courtesy() }
        (self.since, steps) = (now, 0)
    }

    func end() { courtesy?.end() }
}

extension Rollout {
    /// How often what is tried is looked at.
    private static let beat: Duration = .milliseconds(250)
    /// A trial's process may end once for reasons that are not the candidate's.
    private static let mostBreaks = 2

    /// From merged to decided: prewarmed, asked in the shadow, given traffic by stages.
    ///
    /// - Returns: the version to commit.
    /// - Throws: `.judged` where the evidence speaks against it; `.superseded` and `.takenBack` where somebody decided
    ///   otherwise. The live version answers everybody then.
    func tryOut(_ manifest: VersionManifest, _ errand: Errand, _ steps: inout Steps) async throws(RolloutError) -> (Version, Prewarm) {
        let start = ContinuousClock.now
        // In a process of its own first: what would end a process ends that one.
        var shadow: AsyncStream<ShadowEvent>.Iterator?
        if errand.policy != .immediate, settings.shadow != nil { shadow = try await shadowBegun(manifest, errand) }
        let version = try Version(manifest, in: store, pool: pool, sharing: models.live)
        let warm = try await Prewarm.run(version)
        // A patch must not forget what its base knew; an import is another model, which may know other things.
        if errand.file != nil, let knowledge { try warm.check(after: knowledge) }
        steps.add(.prewarm, since: start)
        try stillWanted(errand)
        tried = version.fingerprint
        if errand.policy == .immediate {
            try await waitWhileHeld(errand)
            return (version, warm)
        }
        do throws(RolloutError) {
            try await prove(version, errand, shadow, &steps)
        } catch {
            if models.candidate?.fingerprint == version.fingerprint { models.dropCandidate() }
            throw error
        }
        return (version, warm)
    }

    /// Somebody wants everything to stay as it is, whatever the policy.
    private func waitWhileHeld(_ errand: Errand) async throws(RolloutError) {
        while case .ordered = machine.trial?.hold {
            publish()
            try? await Task.sleep(for: Self.beat)
            try stillWanted(errand)
        }
    }

    private func stillWanted(_ errand: Errand) throws(RolloutError) {
        if let back = takenBack { throw .takenBack(by: back.by, reason: back.reason) }
        guard !isStopping else { throw .superseded(by: "the end of the process") }
        guard machine.isCurrent(errand.ticket), models.generation == errand.generation else { throw .superseded(by: "an order to go back") }
    }

    private func prove(
        _ version: Version, _ errand: Errand, _ begun: AsyncStream<ShadowEvent>.Iterator?, _ steps: inout Steps
    ) async throws(RolloutError) {
        var evidence = Evidence()
        evidence.deadline = settings.deadline
        evidence.isSameShape = version.fillMask.contents.shape == errand.live.fillMask.contents.shape
        evidence.memoryLeft = disk.availableMemory()
        let start = ContinuousClock.now
        try reach(.shadow, errand, steps)
        try await castShadow(version, errand, begun, &evidence)
        steps.add(.shadow, since: start)
        recordShadow(evidence, version, errand)
        let stages = ContinuousClock.now
        try await climb(version, errand, evidence, steps)
        steps.add(.canary, since: stages)
    }

    // MARK: - Shadow

    /// A process that has opened both versions.
    ///
    /// - Parameter reason: why the one before it ended.
    private func shadowBegun(
        _ manifest: VersionManifest, _ errand: Errand, after reason: String = ""
    ) async throws(RolloutError) -> AsyncStream<ShadowEvent>.Iterator? {
        guard let cast = settings.shadow else { return nil }
        var reason = reason
        while breaks < Self.mostBreaks {
            var iterator = cast(.init(live: errand.live.fingerprint, candidate: manifest.fingerprint, recent: recent.texts))
                .makeAsyncIterator()
            let first = await iterator.next(isolation: self)
            try stillWanted(errand)
            switch first {
            case .ready: return iterator
            case .unavailable(let why): throw .shadow(why)
            case .broke(let why): reason = why
            case .pair, .complete, nil: reason = "ended before it began"
            }
            breaks += 1
        }
        throw .judged([.broke(reason)])
    }

    private func castShadow(
        _ version: Version, _ errand: Errand, _ begun: AsyncStream<ShadowEvent>.Iterator?, _ evidence: inout Evidence
    ) async throws(RolloutError) {
        var iterator = begun ?? ShadowRun(live: errand.live, candidate: version, precision: settings.precision)
            .events(settings.suites(), recent: recent.texts).makeAsyncIterator()
        let fresh = evidence
        let pace = Pace(pool: pool)
        defer { pace.end() }
        while true {
            let event = await iterator.next(isolation: self)
            try stillWanted(errand)
            switch event {
            case .pair(let pair):
                evidence.add(pair)
                pace.step(at: now)
                metrics.change { $0.add(pair) }
                if evidence.failures.answers.isMultiple(of: 32) {
                    show(evidence, .ofShadow(evidence))
                    if case .rollBack(let findings) = Verdict.ofShadow(evidence) { throw judged(findings) }
                }
                if machine.trial?.isPromoted == true { return }
            case .ready: break
            case .complete:
                evidence.isShadowComplete = true
                return
            case .unavailable(let why): throw .shadow(why)
            case .broke, nil:
                breaks += 1
                var reason = "ended early"
                if case .broke(let why) = event { reason = why }
                note(.warning, "the trial's process ended", [("reason", reason)])
                guard let manifest = kept[version.fingerprint] ?? (try? store.manifest(of: version.fingerprint)),
                    let again = try await shadowBegun(manifest, errand, after: reason)
                else { throw .judged([.broke(reason)]) }
                (iterator, evidence) = (again, fresh)
            }
        }
    }

    /// What is missing on this machine may be there later; everything else speaks against the candidate.
    private func judged(_ findings: [Finding]) -> RolloutError {
        for case .memory(let left) in findings where findings.count == 1 {
            return .store(.noMemory(needed: Verdict.memoryWanted, available: left))
        }
        return .judged(findings)
    }

    // MARK: - Stages

    private func climb(_ version: Version, _ errand: Errand, _ before: Evidence, _ steps: Steps) async throws(RolloutError) {
        var evidence = before
        let (liveStart, start) = (errand.live.tally.snapshot.traffic, version.tally.snapshot.traffic)
        var stageStart = start
        while true {
            let verdict = machine.trial?.phase == .canary ? Verdict.ofStage(evidence, errand.policy) : .ofShadow(evidence)
            show(evidence, verdict)
            switch machine.advance(errand.ticket, verdict, at: now) {
            case .stay: break
            case .wait(let findings): sayHeld(findings, errand, steps)
            case .share(let percent):
                guard models.share(version, percent: percent, unlessOrderedSince: errand.generation) else {
                    try stillWanted(errand)
                    throw .superseded(by: "an order to go back")
                }
                version.tally.forgetClients()
                stageStart = version.tally.snapshot.traffic
                sayStage(percent, evidence, errand, steps)
            case .commit: return
            case .rollBack(let findings): throw judged(findings)
            }
            try? await Task.sleep(for: min(Self.beat, max(settings.dwell / 4, .milliseconds(5))))
            try stillWanted(errand)
            evidence.live = errand.live.tally.snapshot.traffic - liveStart
            evidence.candidate = version.tally.snapshot.traffic - start
            evidence.stage = version.tally.snapshot.traffic - stageStart
            evidence.memoryLeft = disk.availableMemory()
        }
    }

    // MARK: - Telling

    func reach(_ phase: RolloutMachine.Phase, _ errand: Errand, _ steps: Steps) throws(RolloutError) {
        guard machine.reach(phase, errand.ticket, at: now) else {
            try stillWanted(errand)
            throw .superseded(by: "an order to go back")
        }
        told(Receipt.Status(rawValue: phase.rawValue) ?? .verifying, nil, errand, steps)
        events.post(.intake, phase.rawValue, .object(subject(errand)))
    }

    private func told(_ status: Receipt.Status, _ reason: String?, _ errand: Errand, _ steps: Steps) {
        if let (name, before) = errand.file {
            change(name, trial: before) { file in
                file.receipt.steps = steps
                file.receipt.from = errand.live.fingerprint
                file.receipt.reason = reason
                file.receipt.missing = nil
                tell(name, &file, status)
            }
        }
        publish()
    }

    private func subject(_ errand: Errand) -> [JSON.Member] {
        [.init("file", .string(machine.trial?.subject ?? "")), .init("from", .string("\(errand.live.fingerprint)"))]
    }

    private func recordShadow(_ evidence: Evidence, _ version: Version, _ errand: Errand) {
        let verdict = Verdict.ofShadow(evidence)
        show(evidence, verdict)
        keepFigures(of: version, evidence, against: errand.live)
        // One against it is said with what follows from it.
        if case .rollBack = verdict {} else { addVerdict(verdict, at: "shadow", to: version.fingerprint) }
        record(
            "shadowed",
            subject(errand) + [.init("to", .string("\(version.fingerprint)")), .init("verdict", verdict.json), .init("evidence", evidence.json)])
    }

    private func sayStage(_ percent: Int, _ evidence: Evidence, _ errand: Errand, _ steps: Steps) {
        heldReason = nil
        // Whatever ends the process from here on had every chance to before: a stage may last for weeks.
        if let (name, _) = errand.file, let known = dropped[name]?.known { book.forgetAttempts(of: "\(known.identity)") }
        record("stage", subject(errand) + [.init("percent", .integer(Int64(percent))), .init("traffic", evidence.traffic)])
        note(.info, "stage", [("subject", machine.trial?.subject ?? ""), ("percent", "\(percent)")])
        told(.canary, "\(percent) % of the clients", errand, steps)
    }

    private func sayHeld(_ findings: [Finding], _ errand: Errand, _ steps: Steps) {
        let reason = Verdict.notEnough(findings).message.en
        guard heldReason != reason else { return }
        let isNew = heldReason == nil
        heldReason = reason
        if isNew { record("held", subject(errand) + [.init("reason", .string(reason))]) }
        told(.held, reason, errand, steps)
    }

    /// For who asks how it stands.
    func show(_ evidence: Evidence, _ verdict: Verdict) {
        published.withLock { ($0.evidence, $0.verdict) = (evidence, verdict) }
        publish()
    }
}
