import Disk
import Engine
import Foundation
import Ledger
import ModelFormat
import ModelStore
import PatchFormat
import Rollout
import Signing
import StrictJSON
import TestSupport
import Testing

let tinyPool = Result { try WorkerPool(threads: 1) }

/// A tiny model of the fixtures.
func tiny(_ name: String = "tiny-tied") throws -> ModelContents {
    try ModelContents(huggingFace: "\(Places.fixtures)/\(name)")
}

extension ModelContents {
    /// The same version but for the first float of some tensors.
    func with(_ value: Float, at names: [String] = ["cls.predictions.bias"]) throws -> ModelContents {
        let tensors = try tensors.map { tensor in
            guard names.contains(tensor.name) else { return tensor }
            let bytes = HeapBytes(count: tensor.byteCount) { target in
                tensor.withBytes { target.copyMemory(from: $0) }
                if tensor.dtype == .f32 { target.storeBytes(of: value, as: Float.self) } else {
                    target.storeBytes(of: Float16(value).bitPattern, as: UInt16.self)
                }
            }
            return try StoredTensor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: bytes)
        }
        return try ModelContents(
            shape: shape, tokenizer: tokenizer, pieces: pieces, tensors: tensors, calibration: calibration, release: nil, epoch: 0)
    }

    var fingerprint: Fingerprint {
        fingerprint(digests: Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.digest()) }))
    }
}

func shared(_ bytes: [UInt8]) -> HeapBytes { HeapBytes(count: bytes.count) { $0.copyBytes(from: bytes) } }

/// An appliance of its own for one test, and who makes patches for it.
struct Bench {
    let folder: TemporaryFolder
    let key = SSHPrivateKey()
    let pool: WorkerPool
    var state: String { folder.path + "/state" }
    var drop: String { folder.path + "/drop" }

    init() throws {
        folder = try TemporaryFolder()
        pool = try tinyPool.get()
        try Disk().makeFolder(drop)
        try Disk().writeNew("alice \(key.publicKey)\n", to: folder.path + "/allowed_signers")
    }

    var settings: Rollout.Settings {
        var settings = Rollout.Settings(
            state: state, drop: drop, allowedSigners: folder.path + "/allowed_signers", packagedRelease: "packaged"
        ) { () throws(ModelFormatError) in try ModelContents(huggingFace: "\(Places.fixtures)/tiny-capitals") }
        settings.settle = .milliseconds(300)
        // What a candidate has to go through is for the tests that are about it.
        settings.policy = .immediate
        return settings
    }

    // MARK: - Making

    func sign(_ bytes: [UInt8]) throws -> [UInt8] {
        let file = try PatchFile(shared(bytes), name: "made")
        return file.signed(try SSHSignature(signing: file.manifestBytes, with: key, namespace: PatchFile.namespace))
    }

    func patch(
        _ base: ModelContents, _ target: ModelContents, release: String, epoch: Int, line: Fingerprint? = nil
    ) async throws -> [UInt8] {
        let maker = PatchMaker(
            base: base, target: target,
            recipe: .init(
                encoding: .exact, line: line ?? base.fingerprint, release: release, epoch: epoch, created: "2026-11-25T00:00:00Z",
                dossier: nil))
        return try sign(try await maker.make().bytes)
    }

    func order(to version: Fingerprint, line: Fingerprint, epoch: Int, reason: String = "because") throws -> [UInt8] {
        let manifest = PatchManifest.order(.init(line: line, to: version, epoch: epoch, reason: reason)).bytes
        return try sign(PatchHeader(manifest: manifest.count, signature: 0, frames: 0).bytes + manifest)
    }

    // MARK: - The store

    /// Kept and current, as `tiankong import` without a service does it.
    @discardableResult
    func add(_ contents: ModelContents, release: String, created: String) async throws -> VersionManifest {
        try await opened().add(contents, release: release, fallback: release, origin: .imported, created: created)
    }

    /// What the last life left behind may hold the lock for a moment.
    func opened(_ disk: Disk = Disk()) async throws -> ModelStore {
        for _ in 0..<200 {
            do { return try ModelStore(opening: state, disk: disk) } catch StoreError.inUse { try await Task.sleep(for: .milliseconds(10)) }
        }
        return try ModelStore(opening: state, disk: disk)
    }

    /// Started, and watching nothing.
    func started(_ settings: Rollout.Settings? = nil, disk: Disk = Disk()) async throws -> Rollout {
        let rollout = Rollout(settings ?? self.settings, store: try await opened(disk), pool: pool, disk: disk)
        try await rollout.start()
        return rollout
    }

    /// A whole life: started, watching, stopped. One at a time: there is one FolderWatch a process, and its thread ends
    /// within a second.
    func serving(_ settings: Rollout.Settings? = nil, _ body: (Rollout) async throws -> Void) async throws {
        try await quiet()
        let rollout = try await started(settings)
        let running = Task { await rollout.run() }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(rollout)) } catch { outcome = .failure(error) }
        await rollout.stop()
        await running.value
        lastWatch.set()
        // Who waits for a version's first answer holds the rollout, and with it the store's lock.
        for version in [rollout.models.live, rollout.models.snapshot] { version?.didAnswer() }
        try await Task.sleep(for: .milliseconds(150))
        try outcome.get()
    }

    private func quiet() async throws {
        while let last = lastWatch.value, .now - last < .milliseconds(1200) { try await Task.sleep(for: .milliseconds(20)) }
    }

    // MARK: - Dropping

    /// By rename, as rsync does.
    func put(_ bytes: [UInt8], as name: String) throws {
        try Disk().writeNew(to: folder.path + "/coming") { file throws(DiskError) in try file.write(bytes) }
        try Disk().rename(folder.path + "/coming", to: drop + "/" + name)
    }

    func receipt(_ name: String) -> JSON? {
        guard let bytes = try? Disk().read(drop + "/" + name + ".status.json", atMost: 1 << 16) else { return nil }
        return try? JSON(parsing: bytes)
    }

    func status(_ name: String) -> String? { receipt(name)?["status"]?.string }

    /// - Throws: where it takes longer than ten seconds.
    @discardableResult
    func wait(_ name: String, for statuses: String..., or time: Duration = .seconds(10)) async throws -> JSON {
        let end = ContinuousClock.now + time
        while ContinuousClock.now < end {
            if let receipt = receipt(name), let status = receipt["status"]?.string, statuses.contains(status) { return receipt }
            try await Task.sleep(for: .milliseconds(3))
        }
        throw Late(what: "\(name): expected \(statuses), found \(receipt(name)?.serialized ?? "no receipt")")
    }

    func until(_ what: String, or time: Duration = .seconds(10), _ body: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + time
        while ContinuousClock.now < end {
            if try await body() { return }
            try await Task.sleep(for: .milliseconds(3))
        }
        throw Late(what: what)
    }

    var ledger: Ledger { get throws { try Ledger(reading: state + "/ledger.sqlite") } }
    var kinds: [String] { get throws { try ledger.lines().map(\.kind) } }
}

struct Late: Error, CustomStringConvertible {
    let what: String
    var description: String { "too late: \(what)" }
}

final class LastWatch: Sendable {
    private let time = Lock()
    private final class Lock: @unchecked Sendable {
        let lock = NSLock()
        var value: ContinuousClock.Instant?
    }
    var value: ContinuousClock.Instant? { time.lock.withLock { time.value } }
    func set() { time.lock.withLock { time.value = .now } }
}
let lastWatch = LastWatch()
