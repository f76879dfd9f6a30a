import Engine
import Explain
import Disk
import ModelFormat
import ModelStore
public import StrictJSON

extension Rollout {
    /// A Hugging Face folder goes live like a patch: kept, prewarmed, committed; what was live is its snapshot.
    ///
    /// - Parameters:
    ///   - path: of the folder, as this process sees it.
    ///   - release: nil: the folder's own, else its name.
    ///   - policy: nil: as configured.
    /// - Returns: the version as lists have it.
    public func importFolder(_ path: String, release: String?, policy: Policy? = nil) async throws(RolloutError) -> JSON {
        guard let live = models.live else { throw .warming }
        guard let ticket = beginTrial(path) else {
            throw .busy(with: machine.trial?.subject ?? machine.pin.map { "a pin by \($0.by)" } ?? "another one")
        }
        defer {
            endTrial(ticket)
            publish()
            wake()
        }
        publish()
        let generation = models.generation
        let contents: ModelContents
        do { contents = try ModelContents(huggingFace: path) } catch { throw .format(error) }
        let manifest = try await keep(contents, path, release)
        guard manifest.fingerprint != live.fingerprint else { return manifest.listed(role: "live") }
        let errand = Errand(ticket: ticket, generation: generation, live: live, policy: policy ?? settings.policy, file: nil)
        var steps = Steps()
        try reach(.prewarming, errand, steps)
        let (version, warm): (Version, Prewarm)
        do throws(RolloutError) { (version, warm) = try await tryOut(manifest, errand, &steps) } catch {
            if error.isRollback { recordRollback(of: manifest, from: live, error) }
            throw error
        }
        guard machine.isCurrent(ticket) else { throw .superseded(by: "an order to go back") }
        try commit(version, manifest, generation, &steps)
        watchOver(version, path)
        knowledge = warm
        record(
            "imported",
            [
                .init("from", .string("\(live.fingerprint)")), .init("to", .string("\(version.fingerprint)")),
                .init("release", .string(version.release)),
            ])
        return manifest.listed(role: "live")
    }

    private func recordRollback(of manifest: VersionManifest, from live: Version, _ error: RolloutError) {
        if case .judged(let findings) = error { addVerdict(.rollBack(findings), at: "import", to: manifest.fingerprint) }
        addRollback(of: manifest.fingerprint, error.message.en)
        var by = "verdict"
        if case .takenBack(let who, _) = error { by = who }
        record(
            "rolled-back",
            [
                .init("from", .string("\(manifest.fingerprint)")), .init("to", .string("\(live.fingerprint)")),
                .init("release", .string(manifest.release)), .init("by", .string(by)), .init("reason", .string(error.message.en)),
            ])
    }

    private func keep(_ contents: ModelContents, _ path: String, _ release: String?) async throws(RolloutError) -> VersionManifest {
        let courtesy = pool.courtesy()
        defer { courtesy.end() }
        let name = path.split(separator: "/").last.map { String($0) } ?? "model"
        do {
            try store.checkMemory(for: contents)
            let manifest = try await store.keep(
                contents, release: release, fallback: name, origin: .imported, created: WallClock.timestamp(), on: .background)
            await store.keepPacked(manifest, isa: pool.isa, on: .background)
            return manifest
        } catch { throw .store(error) }
    }
}
