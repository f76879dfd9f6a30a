import Disk
import Engine
import Explain
import Ledger
import ModelFormat
import ModelStore
import StrictJSON

extension Rollout {
    /// What an order to go back did.
    public struct WentBack: Sendable {
        public let from: Version
        public let to: Version
        /// From the order to the exchanged reference.
        public let took: Duration
    }

    /// The operator's order. Takes back what is tried, where a candidate takes traffic; else goes back to the snapshot, or
    /// to any kept version (`packaged`: the one inside the binary).
    ///
    /// The snapshot is mapped and ready, so going back to it is the exchange of a reference, done before anything else
    /// and without waiting for anything: disk, history and receipts follow, and whatever runs is superseded.
    ///
    /// - Parameter by: who says so, for the history.
    nonisolated public func goBack(
        to name: String? = nil, reason: String?, by: String
    ) async throws(RolloutError) -> WentBack {
        let start = ContinuousClock.now
        if name == nil, let live = models.live, let candidate = models.dropCandidate(byOrder: true) {
            let took = ContinuousClock.now - start
            metrics.change { $0.rollbacks.record(took / .seconds(1)) }
            await takeBack(candidate.fingerprint, by: by, reason: reason)
            return WentBack(from: candidate, to: live, took: took)
        }
        if name == nil, let (from, to) = models.goBack() {
            let took = ContinuousClock.now - start
            metrics.change { $0.rollbacks.record(took / .seconds(1)) }
            await settle(from: from, to: to, by: by, reason: reason)
            return WentBack(from: from, to: to, took: took)
        }
        return try await goBackByLoading(name, reason: reason, by: by)
    }

    /// The end is recorded at once, or a restart would try it again; the receipt follows when the trial learns of it at
    /// its next look.
    private func takeBack(_ candidate: Fingerprint, by: String, reason: String?) {
        // It may have ended meanwhile, and another one begun.
        guard candidate == tried, let subject = machine.trial?.subject else { return publish() }
        takenBack = (by, reason)
        if let file = dropped[subject], let known = file.known {
            rolledBack(known.identity, file, .takenBack(by: by, reason: reason))
        }
        publish()
    }

    /// What the appliance decides, and signed orders: the live version is left for the snapshot, whatever is tried.
    ///
    /// - Returns: nil where there is no snapshot in memory.
    func leaveLive(reason: String?, by: String) -> WentBack? {
        let start = ContinuousClock.now
        guard let (from, to) = models.goBack() else { return nil }
        let took = ContinuousClock.now - start
        metrics.change { $0.rollbacks.record(took / .seconds(1)) }
        settle(from: from, to: to, by: by, reason: reason)
        return WentBack(from: from, to: to, took: took)
    }

    /// The disk follows the reference. Needs no space: two names are exchanged.
    private func settle(from: Version, to: Version, by: String, reason: String?) {
        _ = machine.supersede()
        breaker = Breaker()
        owesDisk = true
        alignDisk()
        wentBack(from: from.fingerprint, to: to.fingerprint, by: by, reason: reason)
        publish()
        wake()
    }

    /// What answers is what the next start has to serve; a disk that refuses is asked again until it does not.
    func alignDisk() {
        guard owesDisk, let live = models.live else { return }
        do throws(StoreError) {
            try store.goBack(to: live.fingerprint)
            // A commit that broke off between its two renames has left the same name in both.
            if let snapshot = models.snapshot { try store.keepSnapshot(snapshot.fingerprint) }
            owesDisk = false
        } catch {
            note(.error, "gone back in memory, not on disk; tried again", [("reason", error.message.en)])
            lookAgain(in: .seconds(5))
        }
    }

    func goBackByLoading(_ name: String?, reason: String?, by: String) async throws(RolloutError) -> WentBack {
        guard let from = models.live else { throw .warming }
        let target = try await target(name)
        // From here on nothing that is tried can become live.
        if machine.trial != nil { endTried(by: by, reason: reason) }
        guard target.fingerprint != from.fingerprint else { return WentBack(from: from, to: from, took: .zero) }
        return try await go(to: target, reason: reason, by: by)
    }

    private func target(_ name: String?) async throws(RolloutError) -> VersionManifest {
        do throws(StoreError) {
            switch name {
            case "packaged": break
            case let name?: return try store.manifest(named: name)
            case nil:
                // Where the snapshot is damaged the packaged model is what there is to go back to.
                let snapshot = try store.snapshot()
                if !damaged.contains(snapshot.fingerprint) { return snapshot }
                note(.error, "the snapshot is damaged: going back to the packaged model", [])
            }
        } catch { throw .store(error) }
        return try await keepPackaged()
    }

    private func endTried(by: String, reason: String?) {
        if let candidate = models.dropCandidate(byOrder: true) {
            takeBack(candidate.fingerprint, by: by, reason: reason)
        } else {
            _ = machine.supersede()
        }
    }

    private func go(to manifest: VersionManifest, reason: String?, by: String) async throws(RolloutError) -> WentBack {
        await store.keepPacked(manifest, isa: pool.isa, on: .pool)
        let version = try Version(manifest, in: store, pool: pool, sharing: models.live)
        do { _ = try await version.fillMask.answer(Question("[MASK]")) } catch { throw .engine(error) }
        let start = ContinuousClock.now
        guard let from = models.go(to: version, snapshot: nil) else { throw .warming }
        let took = ContinuousClock.now - start
        metrics.change { $0.rollbacks.record(took / .seconds(1)) }
        settle(from: from, to: version, by: by, reason: reason)
        refreshKept()
        return WentBack(from: from, to: version, took: took)
    }

    /// History, the patch's end and its receipt.
    func wentBack(from: Fingerprint, to: Fingerprint, by: String, reason: String?) {
        // What the live version knows is what the next one is measured by.
        knowledge = nil
        if let live = models.live { Task { await learn(live) } }
        var body: [JSON.Member] = [.init("from", .string("\(from)")), .init("to", .string("\(to)")), .init("by", .string(by))]
        if let reason { body.append(.init("reason", .string(reason))) }
        let patch = from == to ? nil : (kept[from] ?? (try? store.manifest(of: from)))?.patch
        if let patch { body.append(.init("identity", .string("\(patch.identity)"))) }
        record("rolled-back", body, ends: patch.map { ($0.identity, .rolledBack) })
        addRollback(of: from, reason ?? "by \(by)")
        for (name, file) in dropped where patch != nil && file.receipt.identity == patch?.identity && file.receipt.status != .duplicate {
            change(name) { file in
                file.receipt.reason = "rolled back by \(by)" + (reason.map { ": \($0)" } ?? "")
                tell(name, &file, .rolledBack)
            }
        }
        metrics.change { $0.patches["rolled-back", default: 0] += 1 }
        note(.warning, "went back", [("from", from.short), ("to", to.short), ("by", by), ("reason", reason ?? "")])
    }

    func learn(_ live: Version) async {
        let known = try? await Prewarm.run(live)
        if models.live?.fingerprint == live.fingerprint { knowledge = known }
    }

    // MARK: - A signed order

    /// Beats whatever runs, and raises the line's floor as a patch does.
    func carryOut(_ name: String, _ known: DroppedFile.Known, to: Fingerprint, reason: String) async {
        let from = models.live
        do throws(RolloutError) {
            if machine.supersede() != nil { note(.warning, "an order beats what ran", [("file", name)]) }
            if from?.fingerprint != to {
                let by = "order of \(known.signer ?? "nobody")"
                if models.snapshot?.fingerprint != to || leaveLive(reason: reason, by: by) == nil {
                    _ = try await goBack(to: "\(to)", reason: reason, by: by)
                }
            }
            do { try store.raiseFloor(of: known.claim.line, to: known.claim.epoch) } catch { throw .store(error) }
            change(name) { file in
                file.known = nil
                file.receipt.from = from?.fingerprint
                record("committed", history(of: file), ends: (known.identity, .committed))
                tell(name, &file, .committed)
            }
            metrics.change { $0.patches["committed", default: 0] += 1 }
        } catch {
            // Gone back or not: what could not be done is tried again once there is room.
            change(name) { if error.isForNow { hold(name, &$0, error) } else { refuse(name, &$0, error) } }
            if error.isForNow { lookAgain(in: Self.patience) }
        }
    }
}
