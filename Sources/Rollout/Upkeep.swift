import Engine
import Explain
import ModelFormat
import ModelStore
import StrictJSON

extension Rollout {
    /// What need not be done before the first answer: the snapshot is mapped, the live version's knowledge measured,
    /// what is kept looked over; and, after a while, the start is counted as a good one.
    func upkeep() async {
        await readySnapshot()
        if let live = models.live { await learn(live) }
        publish()
        wake()
        // After a start too: what was committed an hour ago may have been so just before it.
        if let live = models.live, models.snapshot != nil, machine.watched(at: now) == nil { watchOver(live, live.release) }
        let care = [Task { await keepMemoryLow() }, Task { await runSuitesByClock() }]
        defer { for task in care { task.cancel() } }
        try? await Task.sleep(for: .seconds(2))
        while !Task.isCancelled {
            await scrub()
            try? await Task.sleep(for: Self.proof)
            if Task.isCancelled { return }
            try? store.forgetAttempts()
            try? await Task.sleep(for: .seconds(86400))
        }
    }

    private func keepMemoryLow() async {
        while !Task.isCancelled {
            for version in [models.live, models.snapshot] { version?.fillMask.letGoOfExactWeights() }
            try? await Task.sleep(for: .seconds(60))
        }
    }

    private func readySnapshot() async {
        guard let manifest = try? store.snapshot(), let live = models.live, manifest.fingerprint != live.fingerprint else { return }
        let generation = models.generation
        do throws(RolloutError) {
            let snapshot = try Version(manifest, in: store, pool: pool, sharing: live)
            models.ready(snapshot, behind: live.fingerprint, unlessOrderedSince: generation)
        } catch {
            damaged.insert(manifest.fingerprint)
            record(
                "damaged", [.init("version", .string("\(manifest.fingerprint)")), .init("reason", .string(error.message.en))])
            note(.error, "the snapshot is damaged", [("version", manifest.fingerprint.short), ("reason", error.message.en)])
        }
    }

    /// Reads every byte of what is live and of the snapshot, in the background, and takes their digests anew. What is
    /// damaged is no longer gone back to, and no longer served.
    func scrub() async {
        for version in [try? store.snapshot().fingerprint, models.live?.fingerprint].compactMap({ $0 }) {
            guard let manifest = kept[version], !Task.isCancelled else { continue }
            let store = store
            let found = await BackgroundThread.run { () -> [String] in (try? store.removeDamaged(of: manifest)) ?? [] }
            if found.isEmpty { await scrubPacked(manifest) }
            guard !found.isEmpty else { continue }
            damaged.insert(version)
            record(
                "damaged",
                [
                    .init("version", .string("\(version)")), .init("release", .string(manifest.release)),
                    .init("reason", .string("\(found.count) files are not what was written: \(found[0])")),
                ])
            note(.error, "damaged", [("version", manifest.release), ("file", found[0])])
            if models.snapshot?.fingerprint == version { models.dropSnapshot() }
            if models.live?.fingerprint == version { await leaveDamagedLive() }
        }
        publish()
    }

    /// A packed file that is not what its tensor makes is made anew; the version is mapped again, for answers may have been
    /// wrong meanwhile.
    private func scrubPacked(_ manifest: VersionManifest) async {
        let (state, isa) = (settings.state, pool.isa)
        let found = await BackgroundThread.run { () -> [PackedMatrix] in
            // Through mappings of its own, which are gone with it: every byte is read.
            let reader = ModelStore(reading: state)
            guard let contents = try? reader.contents(of: manifest) else { return [] }
            return PackedVersion(manifest, contents, in: reader).damaged(isa: isa)
        }
        guard !found.isEmpty, let contents = try? store.contents(of: manifest) else { return }
        PackedVersion(manifest, contents, in: store).remove(found)
        note(.error, "packed anew", [("version", manifest.release), ("tensor", found[0].tensor.name)])
        await store.keepPacked(manifest, isa: isa, on: .background)
        // Files are shared: whoever else has the old ones mapped gets the new ones too.
        for open in [models.live, models.snapshot, models.candidate] {
            guard let open, let manifest = kept[open.fingerprint],
                let version = try? Version(manifest, in: store, pool: pool, sharing: open)
            else { continue }
            models.renew(version)
        }
    }

    private func leaveDamagedLive() async {
        do throws(RolloutError) {
            if leaveLive(reason: "its files are damaged", by: "scrub") != nil { return }
            _ = try await goBackByLoading(nil, reason: "its files are damaged", by: "scrub")
        } catch {
            // No snapshot: the packaged model.
            do throws(RolloutError) {
                _ = try await goBack(to: "packaged", reason: "its files are damaged", by: "scrub")
            } catch {
                note(.error, "nothing to go back to", [("reason", error.message.en)])
            }
        }
    }
}
