import Engine
import Explain
import Disk
import Ledger
import ModelFormat
import ModelStore
import PatchFormat
import StrictJSON
import Synchronization

extension Rollout {
    private static let mostWaiting = 64
    /// How long what failed for want of room waits.
    static let patience: Duration = .seconds(60)

    /// Gives every good file its due: refuses, lets wait, carries out orders, and begins one intake where none runs.
    func pump() async {
        guard let live = models.live else { return }
        var waiting: [(file: String, missing: String)] = []
        let order = dropped.filter { $0.value.known != nil }.sorted {
            ($0.value.known!.claim.epoch, $0.key) < ($1.value.known!.claim.epoch, $1.key)
        }
        var rules = order.isEmpty ? nil : admission(live)
        for (name, _) in order {
            guard let file = dropped[name], let known = file.known, file.notBefore.map({ $0 <= now }) ?? true else { continue }
            guard machine.trial?.subject != name, !file.isInTrial else { continue }
            // The same patch under another name may have ended meanwhile.
            if let folder, let ending = try? book.record(of: "\(known.identity)").ending {
                change(name) { file in
                    file.known = nil
                    meetAgain(name, &file, known.identity, ending, in: folder)
                }
                continue
            }
            guard let decision = rules?.decide(known.claim) else { return }
            switch decision {
            case .refuse(let fault): change(name) { refuse(name, &$0, .chain(fault)) }
            case .wait(let missing):
                guard waiting.count < Self.mostWaiting else {
                    change(name) { refuse(name, &$0, .chain(.tooManyWaiting(limit: Self.mostWaiting))) }
                    continue
                }
                waiting.append((name, "\(missing)"))
                letWait(name, missing)
            case .admit:
                if case .order(let to, let reason) = known.claim.kind {
                    await carryOut(name, known, to: to, reason: reason)
                    // What is live is another version now.
                    rules = admission(live)
                    continue
                }
                guard let ticket = beginTrial(name) else { continue }
                change(name) { $0.isInTrial = true }
                Task { await takeIn(name, known, ticket) }
            }
        }
        published.withLock { $0.waiting = waiting }
        metrics.change { $0.waiting = waiting.count }
    }

    /// nil where a floor cannot be read: without it nobody can tell a replay.
    private func admission(_ live: Version) -> Admission? {
        var floors: [Fingerprint: Int] = [:]
        do {
            for line in Set(kept.values.map(\.line)) { floors[line] = try store.floor(of: line) }
        } catch {
            note(.error, "patches wait: a line's floor cannot be read", [("reason", error.message.en)])
            return nil
        }
        return Admission(
            live: models.live?.fingerprint ?? live.fingerprint, kept: kept.mapValues(\.line), floors: floors,
            jump: settings.epochJump)
    }

    /// - Parameter trial: the file as it was when its trial began. Where the folder has no such file any more, or another
    ///   one of that name, what happens is written into the history all the same, and nowhere else.
    func change(_ name: String, trial: DroppedFile? = nil, _ body: (inout DroppedFile) -> Void) {
        let isOther = trial != nil && dropped[name]?.receipt.identity != trial?.receipt.identity
        guard var file = isOther ? trial : dropped[name] else { return }
        file.isGone = isOther
        body(&file)
        if !isOther { dropped[name] = file }
    }

    private func letWait(_ name: String, _ missing: Fingerprint) {
        change(name) { file in
            guard file.receipt.missing != missing || file.receipt.status != .waitingForBase else { return }
            file.receipt.missing = missing
            file.receipt.reason = "expected the base \(missing.short) among the kept versions, found none of that fingerprint"
            var body = history(of: file)
            body.append(.init("missing", .string("\(missing)")))
            record("waiting", body)
            tell(name, &file, .waitingForBase)
        }
    }

    // MARK: - One patch

    private func takeIn(_ name: String, _ known: DroppedFile.Known, _ ticket: Int) async {
        var staged: String?
        let before = dropped[name]
        do throws(RolloutError) {
            try await tryToTakeIn(name, known, ticket, staged: &staged)
        } catch {
            ended(name, before, known, error, staged: staged)
        }
        change(name) { if $0.receipt.identity == known.identity { $0.isInTrial = false } }
        if let staged { try? disk.remove(staged) }
        BackgroundThread.giveMemoryBack()
        endTrial(ticket)
        publish()
        wake()
    }

    func beginTrial(_ subject: String) -> Int? {
        guard let ticket = machine.begin(subject, at: now) else { return nil }
        clearTrial()
        return ticket
    }

    /// Of one that was superseded, nothing is left to end: another one may have begun.
    func endTrial(_ ticket: Int) {
        guard machine.isCurrent(ticket) else { return }
        retain()
        machine.end(ticket)
        clearTrial()
    }

    private func clearTrial() {
        (takenBack, heldReason, tried, breaks) = (nil, nil, nil, 0)
        published.withLock { ($0.evidence, $0.verdict) = (nil, nil) }
    }

    /// Those who train on this very machine have nobody who looked at their work.
    private func policy(for signer: String?) -> Policy {
        settings.policy == .immediate && signer == "local-trainer" ? .normal : settings.policy
    }

    private func tryToTakeIn(
        _ name: String, _ known: DroppedFile.Known, _ ticket: Int, staged: inout String?
    ) async throws(RolloutError) {
        let generation = models.generation
        guard let live = models.live, let file = dropped[name], let folder else { throw .changedMeanwhile(name: name) }
        var steps = Steps()
        steps.add(.settle, age(of: file.entry))
        publish()
        staged = "\(staging)/\(known.identity)"
        let courtesy = pool.courtesy()
        let patch = try await stage(name, file.entry, known, in: folder, &steps)
        let (plan, signer) = try verify(patch, known, &steps)
        try reach(.merging, Errand(ticket: ticket, generation: generation, live: live, policy: settings.policy, file: (name, file)), steps)
        let manifest = try await merge(patch, plan, signer, &steps)
        await store.keepPacked(manifest, isa: pool.isa, on: .background)
        courtesy.end()
        steps.add(.intake, age(of: file.entry))
        let merged = ContinuousClock.now
        let errand = Errand(ticket: ticket, generation: generation, live: live, policy: policy(for: signer), file: (name, file))
        try reach(.prewarming, errand, steps)
        let (version, warm) = try await tryOut(manifest, errand, &steps)
        guard machine.isCurrent(ticket) else { throw .superseded(by: "an order to go back") }
        _ = try verify(patch, known)
        if errand.policy == .immediate { expectFirstAnswer(of: version, name, known.identity, merged) }
        try commit(version, manifest, generation, &steps)
        knowledge = warm
        watchOver(version, name)
        committed(name, file, known, steps, from: live)
    }

    /// Wall-clock time since the file last changed, as its file system has it.
    private func age(of entry: FolderHandle.Entry) -> Duration {
        .nanoseconds(max(0, WallClock.nanoseconds - entry.changed))
    }

    /// A copy that nobody else can write to: what is verified is what is merged.
    private func stage(
        _ name: String, _ entry: FolderHandle.Entry, _ known: DroppedFile.Known, in folder: FolderHandle, _ steps: inout Steps
    ) async throws(RolloutError) -> PatchFile {
        let start = ContinuousClock.now
        let (path, staging, disk) = ("\(staging)/\(known.identity)", staging, disk)
        let copied = await BackgroundThread.run {
            Result { () throws(DiskError) in
                try disk.makeFolder(staging, mode: 0o700)
                try folder.copy(name, to: path, atMost: entry.size, disk: disk)
                return try MappedFile(path, followingLinks: false)
            }
        }
        let file: MappedFile
        do { file = try copied.get() } catch { throw .disk(error) }
        guard folder.entry(name) == entry else { throw .changedMeanwhile(name: name) }
        let patch: PatchFile
        do { patch = try PatchFile(file, name: name) } catch { throw .patch(error) }
        guard patch.identity == known.identity else { throw .changedMeanwhile(name: name) }
        steps.add(.stage, since: start)
        return patch
    }

    private func verify(_ patch: PatchFile, _ known: DroppedFile.Known) throws(RolloutError) -> (PatchPlan, String?) {
        let trust = try trust()
        do {
            guard case (.patch(let plan), let signer) = try patch.opened(trust) else {
                preconditionFailure("an order is carried out, not taken in")
            }
            return (plan, signer)
        } catch { throw .patch(error) }
    }

    private func verify(
        _ patch: PatchFile, _ known: DroppedFile.Known, _ steps: inout Steps
    ) throws(RolloutError) -> (PatchPlan, String?) {
        let start = ContinuousClock.now
        let (plan, signer) = try verify(patch, known)
        do { try store.checkRoom(for: plan) } catch { throw .store(error) }
        guard try book.record(of: "\(known.identity)").attempts < Self.mostAttempts else {
            throw .triedTooOften(times: Self.mostAttempts)
        }
        try book.countAttempt(of: "\(known.identity)")
        steps.add(.verify, since: start)
        return (plan, signer)
    }

    /// Once more where what came out is not what was signed: memory and disks err too.
    private func merge(
        _ patch: PatchFile, _ plan: PatchPlan, _ signer: String?, _ steps: inout Steps
    ) async throws(RolloutError) -> VersionManifest {
        let start = ContinuousClock.now
        defer { steps.add(.merge, since: start) }
        let created = WallClock.timestamp()
        do throws(StoreError) {
            do throws(StoreError) {
                return try await store.merge(patch, plan, signer: signer, created: created)
            } catch {
                switch error {
                case .damaged, .patch(.result), .patch(.fingerprint):
                    note(.warning, "merging once more", [("file", patch.name), ("reason", error.message.en)])
                    return try await store.merge(patch, plan, signer: signer, created: created)
                default: throw error
                }
            }
        } catch { throw .store(error) }
    }

    /// First the disk, then the reference; an order that came between the two wins.
    func commit(
        _ version: Version, _ manifest: VersionManifest, _ generation: Int, _ steps: inout Steps
    ) throws(RolloutError) {
        let start = ContinuousClock.now
        do { try store.commit(manifest) } catch {
            // How far it came nobody knows: the disk has to follow what answers.
            owesDisk = true
            alignDisk()
            throw .store(error)
        }
        owesDisk = false
        steps.add(.commit, since: start)
        let exchange = ContinuousClock.now
        guard models.promote(version, unlessOrderedSince: generation) else {
            owesDisk = true
            alignDisk()
            throw .superseded(by: "an order to go back")
        }
        steps.add(.switch, since: exchange)
        try? store.forgetAttempts()
        damaged.remove(version.fingerprint)
        refreshKept()
    }

    private func committed(
        _ name: String, _ before: DroppedFile, _ known: DroppedFile.Known, _ steps: Steps, from live: Version
    ) {
        change(name, trial: before) { file in
            file.known = nil
            file.receipt.from = live.fingerprint
            file.receipt.steps = steps
            record("committed", history(of: file), ends: (known.identity, .committed))
            tell(name, &file, .committed)
        }
        metrics.change { metrics in
            metrics.patches["committed", default: 0] += 1
            if let intake = steps.all.first(where: { $0.name == .intake }) { metrics.intakes.record(intake.milliseconds / 1000) }
        }
        note(.info, "committed", [("file", name), ("from", live.release), ("to", models.live?.release ?? "")])
    }

    /// The figure that counts for a user: from merged to the first answer by the new version.
    private func expectFirstAnswer(
        of version: Version, _ name: String, _ identity: Digest, _ merged: ContinuousClock.Instant
    ) {
        version.atFirstAnswer { [weak self] in
            let took = ContinuousClock.now - merged
            Task { await self?.answered(name, identity, took) }
        }
    }

    private func answered(_ name: String, _ identity: Digest, _ took: Duration) {
        metrics.change { $0.swaps.record(took / .seconds(1)) }
        change(name) { file in
            guard file.receipt.identity == identity, file.receipt.status == .committed else { return }
            file.receipt.steps.add(.swap, took)
            tell(name, &file, .committed)
        }
    }

    func retain() {
        let safe = Set([models.live?.fingerprint, models.snapshot?.fingerprint, models.candidate?.fingerprint].compactMap { $0 })
        do {
            for version in try store.retain(settings.kept, beside: safe) {
                record(
                    "removed", [.init("version", .string("\(version.fingerprint)")), .init("release", .string(version.release))])
            }
        } catch { note(.warning, "old versions are not removed", [("reason", error.message.en)]) }
        refreshKept()
    }

    // MARK: - Ends

    /// What is missing may be there later, without anybody's doing.
    func hold(_ name: String, _ file: inout DroppedFile, _ error: RolloutError) {
        file.notBefore = now + Self.patience
        let isNew = file.receipt.status != .held
        file.receipt.reason = error.inWords
        if isNew { record("held", history(of: file) + [.init("reason", .string(error.message.en))]) }
        tell(name, &file, .held)
        note(.warning, "held", [("file", name), ("reason", error.message.en)])
    }

    private func ended(
        _ name: String, _ before: DroppedFile?, _ known: DroppedFile.Known, _ error: RolloutError, staged: String?
    ) {
        // Nothing of a trial survives a restart, and a stop on purpose is no attempt that failed.
        if isStopping, !error.isRollback { return book.forgetAttempts(of: "\(known.identity)") }
        // A file that may still be being written is looked into again before anything is said of it.
        if error.isOfBytes {
            book.forgetAttempts(of: "\(known.identity)")
            var isLast = false
            change(name, trial: before) { file in
                if case .changedMeanwhile = error { file.settling.again() } else {
                    isLast = file.settling.fault(at: now, settle: settings.settle)
                }
                if !isLast { file.known = nil }
            }
            if !isLast { return }
        }
        change(name, trial: before) { file in
            if case .superseded = error {
                file.known = nil
                file.receipt.reason = error.message.en
                record(
                    "superseded", history(of: file) + [.init("reason", .string(error.message.en))], ends: (known.identity, .superseded))
                tell(name, &file, .superseded)
                metrics.change { $0.patches["superseded", default: 0] += 1 }
            } else if error.isRollback {
                file.known = nil
                file.receipt.reason = error.message.en
                let to = file.receipt.claim?.target
                // One that was taken back was recorded when it was.
                if (try? book.record(of: "\(known.identity)").ending) != .rolledBack { rolledBack(known.identity, file, error) }
                if let to { addRollback(of: to, error.message.en) }
                tell(name, &file, .rolledBack)
                metrics.change { $0.patches["rolled-back", default: 0] += 1 }
                note(.warning, "rolled back", [("file", name), ("reason", error.message.en)])
            } else if error.isForNow {
                book.forgetAttempts(of: "\(known.identity)")
                hold(name, &file, error)
                lookAgain(in: Self.patience)
            } else {
                refuse(name, &file, error, staged: staged)
            }
        }
    }

    /// The history's line of a candidate that was not kept, with the numbers that decided.
    func rolledBack(_ identity: Digest, _ file: DroppedFile, _ error: RolloutError) {
        // As in every such line: from what was left to what answers.
        var body = history(of: file).filter { !["from", "to"].contains($0.key) }
        body += [
            .init("from", (file.receipt.claim?.target).map { .string("\($0)") } ?? .null),
            .init("to", file.receipt.from.map { .string("\($0)") } ?? .null),
        ]
        if case .takenBack(let by, _) = error { body.append(.init("by", .string(by))) } else { body.append(.init("by", "verdict")) }
        body.append(.init("reason", .string(error.message.en)))
        if case .judged(let findings) = error {
            body.append(.init("verdict", Verdict.rollBack(findings).json))
            if let evidence = published.withLock({ $0.evidence }) { body.append(.init("evidence", evidence.json)) }
            if let to = file.receipt.claim?.target { addVerdict(.rollBack(findings), at: file.receipt.status.rawValue, to: to) }
        }
        record("rolled-back", body, ends: (identity, .rolledBack))
    }
}
