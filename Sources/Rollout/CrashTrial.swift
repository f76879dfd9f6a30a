public import Disk
public import Engine
import Explain
import Ledger
public import ModelFormat
import ModelStore
import PatchFormat
import StrictJSON

/// One life of an appliance in a folder, with a disk that fails or a process that ends at step n: start, take a patch
/// in, go back. And the look afterwards: exactly old or exactly new, nothing damaged, nothing left over.
///
/// The crash matrix runs it for every n, in a test and on a user's own disk (`tiankong selftest --crash`).
public struct CrashTrial: Sendable {
    /// Why a folder is not as it must be.
    public struct Finding: Error, CustomStringConvertible {
        public let description: String

        public init(description: String) { self.description = description }
    }

    public let folder: String
    private var state: String { folder + "/state" }
    private var drop: String { folder + "/drop" }
    private static let file = "trial.tkp.zst"

    public init(folder: String) { self.folder = folder }

    /// Makes the folder: a store with `old`, and a patch from it to `new` in the drop folder.
    public func prepare(_ old: ModelContents, _ new: ModelContents) async throws {
        let disk = Disk()
        try disk.makeFolder(drop)
        let store = try ModelStore(opening: state)
        let manifest = try await store.add(
            old, release: "old", fallback: "old", origin: .imported, created: WallClock.timestamp())
        let maker = PatchMaker(
            base: old, target: new,
            recipe: .init(
                encoding: .exact, line: manifest.line, release: "new", epoch: 1, created: WallClock.timestamp(), dossier: nil))
        try disk.writeDurably(try await maker.make().bytes, to: drop + "/" + Self.file)
    }

    /// A copy that shares what never changes.
    public func copy(to other: String) throws {
        let disk = Disk()
        for inner in ["", "/state/store"] { try disk.makeFolder(other + inner) }
        for inner in try disk.list(state + "/store") where inner != "lock" {
            let (from, to) = (state + "/store/" + inner, other + "/state/store/" + inner)
            guard disk.isFolder(from) else {
                try disk.writeNew(String(decoding: try disk.read(from, atMost: 4096), as: UTF8.self), to: to)
                continue
            }
            try disk.makeFolder(to)
            for name in try disk.list(from) { try disk.link(from + "/" + name, to: to + "/" + name) }
        }
        try disk.makeFolder(other + "/drop")
        try disk.link(drop + "/" + Self.file, to: other + "/drop/" + Self.file)
    }

    // MARK: - A life

    /// - Returns: whether the patch was committed and gone back from; false where a fault was in the way.
    public func live(_ disk: Disk, pool: WorkerPool, packaged: @escaping @Sendable () throws(ModelFormatError) -> ModelContents) async throws -> Bool {
        var settings = Rollout.Settings(
            state: state, drop: drop, allowedSigners: folder + "/none", packagedRelease: "packaged", packaged: packaged)
        settings.settle = .zero
        settings.allowsUnsigned = true
        settings.policy = .immediate
        let store: ModelStore
        do { store = try ModelStore(opening: state, disk: disk) } catch { return false }
        let rollout = Rollout(settings, store: store, pool: pool, disk: disk)
        do { try await rollout.start() } catch { return false }
        let isCommitted = await rollout.takeInOnce(Self.file)
        // Whatever failed, somebody answers.
        guard let live = rollout.models.live else { throw Finding(description: "nothing is live") }
        _ = try await live.fillMask.answer(Question("[MASK]"))
        guard isCommitted else { return false }
        do throws(RolloutError) {
            let back = try await rollout.goBack(reason: "trial", by: "trial")
            guard rollout.models.live?.fingerprint == back.to.fingerprint else { throw RolloutError.warming }
        } catch {
            // Gone back from in an earlier life already.
            guard case .store(.noSnapshot) = error else { throw error }
        }
        return true
    }

    // MARK: - The look afterwards

    /// Opens what is there as a start does.
    ///
    /// - Throws: `Finding`, or the error that opening met.
    public func check() throws {
        let disk = Disk()
        let store = try ModelStore(opening: state)
        guard let current = try store.current() else { throw Finding(description: "no version is current") }
        let manifest = try store.manifest(of: current)
        guard ["old", "new"].contains(manifest.release) else {
            throw Finding(description: "expected old or new, found \(manifest.release)")
        }
        for version in try store.versions() { try store.verify(version) }
        for left in try disk.listAll(state) where left.hasSuffix(".partial") {
            throw Finding(description: "left over: \(left)")
        }
        let unreferenced = try store.unreferenced()
        guard unreferenced.isEmpty else { throw Finding(description: "nobody's: \(unreferenced[0])") }
        if disk.exists(state + "/ledger.sqlite") { _ = try Ledger(state + "/ledger.sqlite").verify() }
    }

    /// After a healthy life: back at the old version, the patch's end recorded, no copy and no temporary file left.
    public func checkEnd() throws {
        try check()
        let disk = Disk()
        let store = try ModelStore(opening: state)
        let release = try store.manifest(named: nil).release
        guard release == "old" else { throw Finding(description: "expected to be back at old, found \(release)") }
        let patch = try PatchFile(path: drop + "/" + Self.file)
        let ending = try Ledger(state + "/ledger.sqlite").record(of: "\(patch.identity)").ending
        guard ending == .rolledBack else {
            throw Finding(description: "expected the patch recorded as rolled-back, found \(ending.map { $0.rawValue } ?? "nothing")")
        }
        let staged = disk.isFolder(state + "/staging") ? try disk.list(state + "/staging") : []
        let receipts = try disk.list(drop).filter { $0 != Self.file && $0 != Self.file + Receipt.suffix }
        guard staged.isEmpty, receipts.isEmpty else { throw Finding(description: "left over: \(staged + receipts)") }
    }
}

extension Rollout {
    /// Looks until this file has come to its end, without a watch.
    ///
    /// - Returns: whether it is committed, or was before.
    func takeInOnce(_ name: String) async -> Bool {
        for _ in 0..<20 {
            look()
            await pump()
            while machine.trial != nil { try? await Task.sleep(for: .milliseconds(1)) }
            guard let status = dropped[name]?.receipt.status else { continue }
            if status == .committed { return true }
            // Met before: what is live tells how it ended.
            if status.isLast { return models.live?.epoch == 1 }
            if status == .held { return false }
        }
        return false
    }
}
