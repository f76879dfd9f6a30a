import Explain
import Disk
import Engine
import Ledger
import ModelFormat
import ModelStore
import StrictJSON

extension Rollout {
    /// Chooses what to serve and makes it answer: the current version; where it ended the process three times or is
    /// damaged, the one before; where that is damaged too, the packaged model.
    public func start() async throws(RolloutError) {
        try? disk.remove(staging)
        let current: Fingerprint?
        do { current = try store.current() } catch {
            note(.error, "the current version cannot be told", [("reason", error.message.en)])
            record("damaged", [.init("reason", .string(error.message.en))])
            refreshKept()
            if let previous = try? store.previous(), let manifest = kept[previous] {
                do throws(RolloutError) {
                    try await serve(manifest, as: "recovered")
                    _ = try? store.goBack(to: previous)
                    return
                } catch { damaged.insert(previous) }
            }
            return try await serveLastResort()
        }
        guard let current else { return try await servePackaged(as: "started") }
        refreshKept()
        if try await isReplacedByNewerPackage(current) { return try await servePackaged(as: "started") }
        if isSuspect(current), try await goBackFromSuspect(current) { return }
        do throws(RolloutError) {
            try await serve(try manifest(of: current))
        } catch {
            try await leaveDamaged(current, error)
        }
    }

    /// Maps it, asks it a first question, and lets it answer.
    private func serve(_ manifest: VersionManifest, as kind: String = "started", _ more: [JSON.Member] = []) async throws(RolloutError) {
        await store.keepPacked(manifest, isa: pool.isa, on: .pool)
        let version = try Version(manifest, in: store, pool: pool)
        do { _ = try await version.fillMask.answer(Question("[MASK]")) } catch { throw .engine(error) }
        models.begin(live: version, snapshot: nil)
        try? store.keepFloor(of: manifest)
        recover(manifest)
        record(
            kind, [.init("version", .string("\(version.fingerprint)")), .init("release", .string(version.release))] + more)
    }

    func manifest(of version: Fingerprint) throws(RolloutError) -> VersionManifest {
        do { return try store.manifest(of: version) } catch { throw .store(error) }
    }

    // MARK: - The packaged model

    /// A newer program's model takes over only where nobody ever chose another one.
    private func isReplacedByNewerPackage(_ current: Fingerprint) async throws(RolloutError) -> Bool {
        guard !kept.isEmpty, kept.values.allSatisfy({ $0.origin == .embedded }) else { return false }
        return try await packagedFingerprint() != current
    }

    func packagedFingerprint() async throws(RolloutError) -> Fingerprint {
        let contents: ModelContents
        do { contents = try settings.packaged() } catch { throw .format(error) }
        return contents.fingerprint(digests: await contents.digests())
    }

    /// Writes it into the store like any import.
    func keepPackaged() async throws(RolloutError) -> VersionManifest {
        let contents: ModelContents
        do { contents = try settings.packaged() } catch { throw .format(error) }
        do {
            return try await store.keep(
                contents, release: nil, fallback: settings.packagedRelease, origin: .embedded,
                created: WallClock.timestamp(), on: .pool)
        } catch { throw .store(error) }
    }

    private func servePackaged(as kind: String) async throws(RolloutError) {
        let manifest = try await keepPackaged()
        do { try store.commit(manifest) } catch { throw .store(error) }
        refreshKept()
        try await serve(manifest, as: kind)
    }

    /// From the binary itself, without a store: nothing else is left.
    private func serveLastResort() async throws(RolloutError) {
        let contents: ModelContents
        do { contents = try settings.packaged() } catch { throw .format(error) }
        let version = try Version(contents: contents, release: settings.packagedRelease, pool: pool)
        do { _ = try await version.fillMask.answer(Question("[MASK]")) } catch { throw .engine(error) }
        models.begin(live: version, snapshot: nil)
        note(.error, "serving the packaged model: nothing in the store can be served", [])
        record("recovered", [.init("version", .string("\(version.fingerprint)")), .init("release", .string(version.release))])
    }

    // MARK: - Versions that end the process

    /// Counts this start; whether the version was started too often without proving itself.
    private func isSuspect(_ current: Fingerprint) -> Bool {
        // With nowhere to go back to there is nothing to count for.
        guard kept.count > 1 else { return false }
        let attempts = (try? store.attempts(of: current)) ?? 0
        if attempts >= Self.mostAttempts { return true }
        do { try store.countAttempt(of: current) } catch {
            note(.warning, "a start is not counted", [("reason", error.message.en)])
        }
        return false
    }

    private func goBackFromSuspect(_ current: Fingerprint) async throws(RolloutError) -> Bool {
        guard let snapshot = try? store.snapshot() else { return false }
        let reason = "it ended the process \(Self.mostAttempts) times before it had answered for \(Self.proof)"
        note(.error, "going back by itself", [("from", current.short), ("to", snapshot.fingerprint.short), ("reason", reason)])
        do { _ = try store.goBack(to: snapshot.fingerprint) } catch { throw .store(error) }
        try? store.forgetAttempts()
        // Said before `recover` finds it unsaid.
        wentBack(from: current, to: snapshot.fingerprint, by: "breaker", reason: reason)
        do throws(RolloutError) {
            try await serve(snapshot)
        } catch {
            try await leaveDamaged(snapshot.fingerprint, error)
        }
        return true
    }

    /// The current version cannot be served: the one before, else the packaged one.
    private func leaveDamaged(_ current: Fingerprint, _ error: RolloutError) async throws(RolloutError) {
        // What fails for want of memory, say, fails for every version, and is no damage.
        guard error.isDamage else { throw error }
        note(.error, "the current version is damaged", [("version", current.short), ("reason", error.message.en)])
        record("damaged", [.init("version", .string("\(current)")), .init("reason", .string(error.message.en))])
        damaged.insert(current)
        if let snapshot = try? store.snapshot() {
            do throws(RolloutError) {
                try await serve(snapshot, as: "recovered", [.init("from", .string("\(current)"))])
                _ = try? store.goBack(to: snapshot.fingerprint)
                return
            } catch {
                damaged.insert(snapshot.fingerprint)
                note(.error, "the snapshot is damaged", [("version", snapshot.fingerprint.short), ("reason", error.message.en)])
            }
        }
        do throws(RolloutError) { try await servePackaged(as: "recovered") } catch { try await serveLastResort() }
    }

    // MARK: - Records

    /// What happened on disk and was not written down because the process ended just then.
    private func recover(_ current: VersionManifest) {
        func mend(_ manifest: VersionManifest, _ ending: Ledger.Ending) {
            guard let patch = manifest.patch, let record = try? book.record(of: "\(patch.identity)"),
                record.ending == nil || (record.ending == .committed && ending == .rolledBack)
            else { return }
            self.record(
                ending.rawValue,
                [
                    .init(ending == .rolledBack ? "from" : "version", .string("\(manifest.fingerprint)")),
                    .init("release", .string(manifest.release)), .init("identity", .string("\(patch.identity)")), .init("recovered", true),
                ], ends: (patch.identity, ending))
        }
        mend(current, .committed)
        // What was made from the current version and committed is not what is current: it was gone back from.
        for manifest in kept.values where manifest.patch?.base == current.fingerprint && manifest.fingerprint != current.fingerprint {
            guard let identity = manifest.patch?.identity, (try? book.record(of: "\(identity)").ending) == .committed else { continue }
            mend(manifest, .rolledBack)
        }
    }
}

extension RolloutError {
    /// Something in the store is not what we wrote.
    var isDamage: Bool {
        switch self {
        case .store(.damaged), .store(.format), .store(.patch), .store(.unknownVersion), .engine(.notFinite), .engine(.tensorMissing),
            .engine(.vocabulary):
            true
        case .store(.disk(.system(_, _, let code))): code == 2 || code == 5
        case .store(.disk(.notRegular)), .store(.disk(.tooLarge)): true
        default: false
        }
    }
}
