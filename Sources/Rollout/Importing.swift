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
    /// - Returns: the version as lists have it.
    public func importFolder(_ path: String, release: String?) async throws(RolloutError) -> JSON {
        guard let live = models.live else { throw .warming }
        guard let ticket = machine.begin(path) else { throw .busy(with: machine.trial?.subject ?? "another one") }
        defer {
            machine.end(ticket)
            publish()
            wake()
        }
        publish()
        let generation = models.generation
        let contents: ModelContents
        do { contents = try ModelContents(huggingFace: path) } catch { throw .format(error) }
        let manifest = try await keep(contents, path, release)
        guard manifest.fingerprint != live.fingerprint else { return manifest.listed(role: "live") }
        guard machine.reach(.prewarming, ticket) else { throw .superseded(by: "an order to go back") }
        publish()
        let version = try Version(manifest, in: store, pool: pool, sharing: models.live)
        let warm = try await Prewarm.run(version)
        guard machine.isCurrent(ticket) else { throw .superseded(by: "an order to go back") }
        var steps = Steps()
        try commit(version, manifest, generation, &steps)
        knowledge = warm
        book.append(
            "imported",
            [
                .init("from", .string("\(live.fingerprint)")), .init("to", .string("\(version.fingerprint)")),
                .init("release", .string(version.release)),
            ])
        retain()
        return manifest.listed(role: "live")
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
