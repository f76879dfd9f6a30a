public import Disk
import Explain
import Ledger
public import ModelFormat
public import ModelStore
public import StrictJSON

extension Rollout {
    /// Goes back where no service runs: what the next start serves is another version.
    ///
    /// - Returns: as `POST /v1/rollback` answers.
    public static func goBackWithoutService(
        _ settings: Settings, to name: String?, reason: String?, disk: Disk = Disk()
    ) async throws(RolloutError) -> JSON {
        let (from, target): (VersionManifest, VersionManifest)
        do throws(StoreError) {
            let store = try ModelStore(opening: settings.state, disk: disk)
            from = try store.manifest(named: nil)
            if name == "packaged" {
                let contents: ModelContents
                do { contents = try settings.packaged() } catch { throw .format(error) }
                target = try await store.keep(
                    contents, release: nil, fallback: settings.packagedRelease, origin: .embedded,
                    created: WallClock.timestamp(), on: .pool)
            } else {
                target = if let name { try store.manifest(named: name) } else { try store.snapshot() }
            }
            _ = try store.goBack(to: target.fingerprint)
            try? store.forgetAttempts()
        } catch { throw .store(error) }
        var book = Book(path: settings.state + "/ledger.sqlite", disk: disk) { _, _, _ in }
        var body: [JSON.Member] = [
            .init("from", .string("\(from.fingerprint)")), .init("to", .string("\(target.fingerprint)")),
            .init("by", "command, no service"),
        ]
        if let reason { body.append(.init("reason", .string(reason))) }
        let patch = from.fingerprint == target.fingerprint ? nil : from.patch
        if let patch { body.append(.init("identity", .string("\(patch.identity)"))) }
        book.append("rolled-back", body, ends: patch.map { ("\($0.identity)", .rolledBack) })
        return ["from": from.brief, "to": target.brief]
    }
}

extension Rollout {
    /// An import where no service runs, for the history.
    public static func recordImport(state: String, from: Fingerprint?, to version: VersionManifest) {
        var book = Book(path: state + "/ledger.sqlite", disk: Disk()) { _, _, _ in }
        var body: [JSON.Member] = []
        if let from { body.append(.init("from", .string("\(from)"))) }
        body += [
            .init("to", .string("\(version.fingerprint)")), .init("release", .string(version.release)),
            .init("by", "command, no service"),
        ]
        book.append("imported", body)
    }
}

extension VersionManifest {
    fileprivate var brief: JSON {
        ["version": .string("\(fingerprint)"), "release": .string(release), "epoch": .integer(Int64(epoch))]
    }
}
