import Disk
import Foundation
import ModelFormat
import ModelStore
import PatchFormat
import StrictJSON
import TestSupport
import Testing

private let words = "bert.embeddings.word_embeddings.weight"

private func tiny(_ name: String = "tiny-tied") throws -> ModelContents {
    try ModelContents(huggingFace: "\(Places.fixtures)/\(name)")
}

extension ModelContents {
    /// The same but for some tensors, whose bytes `change` writes over.
    fileprivate func changing(
        _ names: [String], calibration: String? = nil, _ change: (UnsafeMutableRawBufferPointer) -> Void
    ) throws -> ModelContents {
        let tensors = try tensors.map { tensor in
            guard names.contains(tensor.name) else { return tensor }
            let bytes = HeapBytes(count: tensor.byteCount) { target in
                tensor.withBytes { target.copyMemory(from: $0) }
                change(target)
            }
            return try StoredTensor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: bytes)
        }
        return try ModelContents(
            shape: shape, tokenizer: tokenizer, pieces: pieces, tensors: tensors,
            calibration: calibration.map { Array($0.utf8) } ?? self.calibration, release: nil, epoch: 0)
    }

    /// One float of each of them.
    fileprivate func with(_ value: Float, at names: [String] = ["cls.predictions.bias"]) throws -> ModelContents {
        try changing(names) { $0.storeBytes(of: value, as: Float.self) }
    }

    fileprivate var fingerprint: Fingerprint {
        fingerprint(digests: Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.digest()) }))
    }
}

@Suite("the store takes patches and goes back")
struct PatchingTests {
    private let folder: TemporaryFolder
    private var state: String { folder.path }
    private var root: String { folder.path + "/store" }

    init() throws { folder = try TemporaryFolder() }

    private func add(_ store: ModelStore, _ contents: ModelContents, _ release: String = "base", created: String = "2026-01-01T00:00:00Z") async throws -> VersionManifest {
        try await store.add(contents, release: release, fallback: release, origin: .imported, created: created)
    }

    private func made(
        _ base: ModelContents, _ target: ModelContents, release: String = "next", epoch: Int = 1, _ encoding: PatchFrame.Encoding = .exact
    ) async throws -> (file: PatchFile, plan: PatchPlan) {
        let product = try await PatchMaker(
            base: base, target: target,
            recipe: .init(encoding: encoding, line: base.fingerprint, release: release, epoch: epoch, created: "2026-02-02T00:00:00Z", dossier: ["rows": 5])
        ).make()
        let bytes = HeapBytes(count: product.bytes.count) { $0.copyBytes(from: product.bytes) }
        return (try PatchFile(bytes, name: "p"), product.plan)
    }

    private func merge(_ store: ModelStore, _ patch: (file: PatchFile, plan: PatchPlan), created: String = "2026-02-02T00:00:00Z") async throws -> VersionManifest {
        try await store.merge(patch.file, patch.plan, signer: "alice", created: created)
    }

    /// A lane of the merge may let go of the lock a moment after the merge.
    private func opened(_ state: String) async throws -> ModelStore {
        for _ in 0..<200 {
            do { return try ModelStore(opening: state) } catch StoreError.inUse { try await Task.sleep(for: .milliseconds(5)) }
        }
        return try ModelStore(opening: state)
    }

    private func list(_ inner: String) throws -> [String] { try Disk().list(root + "/" + inner) }

    private func inode(_ name: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: root + "/" + name)[.systemFileNumber] as? Int)
    }

    private func check(_ contents: ModelContents, is target: ModelContents) {
        #expect(contents.tensors.map(\.name) == target.tensors.map(\.name))
        for (one, other) in zip(contents.tensors, target.tensors) {
            #expect(one.dtype == other.dtype && one.shape == other.shape)
            #expect(one.withBytes { Array($0) } == other.withBytes { Array($0) }, "\(one.name)")
        }
        #expect(contents.pieces == target.pieces && contents.calibration == target.calibration)
    }

    // MARK: - Merging

    @Test("a merged patch is exactly its target: tensors, fingerprint, release, epoch, line, signer", arguments: [
        "tiny-tied", "tiny-untied-f16", "tiny-bf16-relu", "tiny-sharded", "tiny-old-names",
    ])
    func exact(name: String) async throws {
        let base = try tiny(name)
        let every = base.tensors.map(\.name)
        let target = try base.changing(every) { bytes in
            // Low bits of the first elements: finite whatever the dtype.
            for index in stride(from: 0, to: min(bytes.count, 64), by: 4) { bytes[index] ^= 1 }
        }
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        let patch = try await made(base, target)
        #expect(patch.plan.target == target.fingerprint)
        let merged = try await merge(store, patch)
        #expect(merged.fingerprint == target.fingerprint && merged.release == "next" && merged.epoch == 1)
        #expect(merged.line == first.fingerprint && merged.origin == .patched)
        #expect(merged.patch?.base == first.fingerprint && merged.patch?.signer == "alice" && merged.patch?.identity == patch.file.identity)
        // Read by somebody else, from what is on the disk.
        let reader = ModelStore(reading: state)
        let kept = try reader.manifest(of: target.fingerprint)
        check(try reader.contents(of: kept), is: target)
        try reader.verify(kept)
        #expect(kept.patch?.dossier?["rows"]?.integer == 5)
        // Merging alone makes nothing current.
        #expect(try store.current() == first.fingerprint)
        check(try reader.contents(of: first), is: base)
    }

    @Test("a compact patch leads to the fingerprint that it says")
    func compact() async throws {
        let base = try tiny()
        let target = try base.changing(base.tensors.map(\.name)) { bytes in
            for index in stride(from: 0, to: bytes.count, by: 4) { bytes[index] ^= 0x55 }
        }
        let store = try ModelStore(opening: state)
        _ = try await add(store, base)
        let patch = try await made(base, target, .compact)
        let merged = try await merge(store, patch)
        #expect(merged.fingerprint == patch.plan.target)
        try store.verify(merged)
    }

    @Test("a patch of the calibration alone writes no tensor")
    func calibration() async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        _ = try await add(store, base)
        let before = try list("tensors")
        let merged = try await merge(store, try await made(base, try base.changing([], calibration: #"{"temperature":1.25}"#) { _ in }))
        #expect(try list("tensors") == before && list("rows").isEmpty)
        #expect(try store.contents(of: merged).calibration == Array(#"{"temperature":1.25}"#.utf8))
    }

    @Test("a patched version has the base's files and the very mappings for what the patch left alone")
    func sharing() async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        let before = try list("tensors")
        let merged = try await merge(store, try await made(base, try base.with(0.5)))
        #expect(try list("tensors").count == before.count + 1)
        let (one, other) = (try store.contents(of: first), try store.contents(of: merged))
        for (a, b) in zip(one.tensors, other.tensors) {
            #expect((a.addressWhileHeld == b.addressWhileHeld) == (a.name != "cls.predictions.bias"), "\(a.name)")
        }
        withExtendedLifetime((one, other)) {}
    }

    @Test("a few changed rows are kept as source and rows, and read as the whole tensor")
    func rows() async throws {
        let base = try tiny()
        let target = try base.changing([words]) { bytes in
            for row in [0, 7, 282] { bytes.storeBytes(of: Float(row) / 1000, toByteOffset: row * 32 * 4, as: Float.self) }
        }
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        let before = try list("tensors")
        let patch = try await made(base, target)
        #expect(patch.plan.frames.map(\.operation) == [.rows])
        let merged = try await merge(store, patch)
        #expect(try list("tensors") == before)
        let rows = try list("rows")
        #expect(rows.count == 1)
        #expect(try Disk().read(root + "/rows/" + rows[0], atMost: 1 << 20).count == 4 + 3 * (4 + 32 * 4))
        let contents = try store.contents(of: merged)
        check(contents, is: target)
        check(try store.contents(of: first), is: base)
        try store.verify(merged)
    }

    @Test("rows over rows: the second patch's tensor is whole, and both versions stay what they were")
    func rowsOverRows() async throws {
        let base = try tiny()
        func change(_ contents: ModelContents, _ row: Int) throws -> ModelContents {
            try contents.changing([words]) { $0.storeBytes(of: Float(row), toByteOffset: row * 128, as: Float.self) }
        }
        let one = try change(base, 3)
        let two = try change(one, 4)
        let store = try ModelStore(opening: state)
        _ = try await add(store, base)
        let first = try await merge(store, try await made(base, one))
        let second = try await merge(store, try await made(one, two, epoch: 2))
        check(try store.contents(of: first), is: one)
        check(try store.contents(of: second), is: two)
        try store.verify(second)
        #expect(try store.unreferenced().isEmpty)
    }

    @Test("contents that were here before are called what the patch says: its epoch, release and line")
    func kept() async throws {
        let base = try tiny()
        let target = try base.with(0.5)
        let store = try ModelStore(opening: state)
        let imported = try await add(store, target, "imported before")
        let first = try await add(store, base)
        #expect(imported.epoch == 0 && imported.line == imported.fingerprint)
        let merged = try await merge(store, try await made(base, target, release: "by patch", epoch: 7))
        let read = try store.manifest(of: target.fingerprint)
        for manifest in [merged, read] {
            #expect(manifest.epoch == 7 && manifest.release == "by patch" && manifest.line == first.fingerprint && manifest.origin == .patched)
        }
        check(try store.contents(of: read), is: target)
    }

    @Test("a plan whose target is not what its frames make of the base is refused, and nothing is kept")
    func otherBase() async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        // Made from a base with another calibration, and told to be for this one.
        let other = try base.changing([], calibration: #"{"temperature":2}"#) { _ in }
        let (file, plan) = try await made(other, try other.with(0.5))
        await #expect(throws: StoreError.self) { try await store.merge(file, plan, signer: nil, created: "") }
        #expect(try store.versions().map(\.fingerprint) == [first.fingerprint])
        #expect(try Disk().listAll(root).filter { $0.hasSuffix(".partial") }.isEmpty)
    }

    @Test("a merge that fails at any step leaves the versions that were, and opening again leaves nothing of it")
    func mergeFaults() async throws {
        let base = try tiny()
        let target = try base.with(0.5, at: ["cls.predictions.bias", "cls.predictions.transform.dense.bias"])
        let patch = try await made(base, target)
        let counting = FaultPlan(failingAt: nil)
        for step in -1..<200 {
            let folder = try TemporaryFolder()
            let first = try await add(try ModelStore(opening: folder.path), base)
            let before = try Disk().listAll(folder.path + "/store/tensors")
            if step < 0 {
                let store = try ModelStore(opening: folder.path, disk: Disk(faults: counting))
                let opening = counting.steps
                _ = try await merge(store, patch)
                #expect(counting.steps - opening >= 10)
                continue
            }
            if step >= counting.steps { break }
            do { _ = try await merge(try ModelStore(opening: folder.path, disk: Disk(faults: FaultPlan(failingAt: step, .once(28)))), patch) } catch is StoreError {}
            let store = try await opened(folder.path)
            #expect(try store.current() == first.fingerprint)
            for version in try store.versions() { try store.verify(version) }
            if try store.versions().count == 1 { #expect(try Disk().listAll(folder.path + "/store/tensors") == before, "step \(step)") }
            #expect(try store.unreferenced().isEmpty, "step \(step)")
            let merged = try await merge(store, patch)
            #expect(merged.fingerprint == target.fingerprint, "step \(step)")
        }
    }

    // MARK: - Committing and going back

    @Test("a commit makes the version current and what was current previous, and raises the line's floor")
    func commit() async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        #expect(try store.floor(of: first.line) == 0)
        let merged = try await merge(store, try await made(base, try base.with(0.5), epoch: 5))
        #expect(try store.floor(of: first.line) == 0)
        try store.commit(merged)
        #expect(try store.current() == merged.fingerprint && store.previous() == first.fingerprint && store.floor(of: first.line) == 5)
        try store.commit(merged)
        #expect(try store.previous() == first.fingerprint)
    }

    @Test("going back is one rename: two steps, no content, no snapshot left, and the floor stays")
    func goBack() async throws {
        let base = try tiny()
        func prepare() async throws -> [VersionManifest] {
            let store = try ModelStore(opening: state)
            let first = try await add(store, base)
            let merged = try await merge(store, try await made(base, try base.with(0.5), epoch: 5))
            try store.commit(merged)
            return [first, merged]
        }
        let versions = try await prepare()
        let first = versions[0], merged = versions[1]
        let previous = try inode("previous")
        let plan = FaultPlan(failingAt: nil)
        _ = try await opened(state)
        let store = try ModelStore(opening: state, disk: Disk(faults: plan))
        let opening = plan.steps
        #expect(try store.goBack().fingerprint == first.fingerprint)
        #expect(plan.steps - opening == 2)
        #expect(try inode("current") == previous)
        #expect(try store.current() == first.fingerprint && store.previous() == nil)
        #expect(try store.versions().contains { $0.fingerprint == merged.fingerprint })
        #expect(try store.floor(of: first.line) == 5)
    }

    @Test("going back twice is refused, and changes nothing")
    func twice() async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        #expect { try store.goBack() } throws: { error in
            guard case StoreError.noSnapshot = error else { return false }
            return true
        }
        try store.commit(try await merge(store, try await made(base, try base.with(0.5))))
        _ = try store.goBack()
        #expect { try store.goBack() } throws: { error in
            guard case StoreError.noSnapshot = error else { return false }
            return true
        }
        #expect(try store.current() == first.fingerprint)
    }

    @Test("any kept version may be gone to by name; one that is not kept is refused; the current one is left")
    func anywhere() async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        let first = try await add(store, base)
        let second = try await add(store, try tiny("tiny-sharded"), "second", created: "2026-01-02T00:00:00Z")
        _ = try await add(store, try tiny("tiny-bf16-relu"), "third", created: "2026-01-03T00:00:00Z")
        #expect(try store.snapshot().fingerprint == second.fingerprint)
        #expect(try store.goBack(to: first.fingerprint).fingerprint == first.fingerprint)
        #expect(try store.current() == first.fingerprint && store.previous() == nil)
        let current = try inode("current")
        #expect(try store.goBack(to: first.fingerprint).fingerprint == first.fingerprint)
        #expect(try inode("current") == current)
        let nobody = try #require(Fingerprint(String(repeating: "0", count: 64)))
        #expect(throws: StoreError.self) { try store.goBack(to: nobody) }
        #expect(try store.current() == first.fingerprint)
    }

    @Test("a commit that fails at any step leaves current and previous as a pair that makes sense", arguments: [FaultPlan.Fault.lasting(28), .once(5)])
    func commitFaults(fault: FaultPlan.Fault) async throws {
        let base = try tiny()
        let patch = try await made(base, try base.with(0.5))
        for step in 0..<100 {
            let folder = try TemporaryFolder()
            func prepare() async throws -> [VersionManifest] {
                let store = try ModelStore(opening: folder.path)
                return [try await add(store, try tiny("tiny-sharded"), "before"), try await add(store, base), try await merge(store, patch)]
            }
            let versions = try await prepare()
            let before = versions[0], first = versions[1], merged = versions[2]
            let plan = FaultPlan(failingAt: step, fault)
            do { _ = try await opened(folder.path) }
            do {
                let store = try ModelStore(opening: folder.path, disk: Disk(faults: plan))
                do { try store.commit(merged) } catch is StoreError {}
            } catch is StoreError {}
            let store = try ModelStore(opening: folder.path)
            let pair = [try store.current(), try store.previous()]
            let isSound = [[first.fingerprint, before.fingerprint], [first.fingerprint, first.fingerprint], [merged.fingerprint, first.fingerprint]].contains(pair)
            #expect(isSound, "step \(step): \(pair)")
            // Whatever is on the disk, a floor is never below what is current.
            if pair[0] == merged.fingerprint { #expect(try store.floor(of: merged.line) == 1) }
            try store.commit(merged)
            #expect(try store.current() == merged.fingerprint && store.previous() == first.fingerprint, "step \(step)")
            if plan.steps <= step { return }
        }
        Issue.record("a commit has no hundred steps")
    }

    @Test("a floor is only ever raised, and each line has its own")
    func floor() async throws {
        let store = try ModelStore(opening: state)
        let first = try await add(store, try tiny())
        let other = try await add(store, try tiny("tiny-sharded"), "other")
        try store.raiseFloor(of: first.line, to: 5)
        try store.raiseFloor(of: first.line, to: 3)
        #expect(try store.floor(of: first.line) == 5 && store.floor(of: other.line) == 0)
        try store.raiseFloor(of: first.line, to: 6)
        #expect(try ModelStore(reading: state).floor(of: first.line) == 6)
        #expect(throws: StoreError.self) {
            try Disk().writeDurably("nonsense\n", to: "\(root)/lines/\(first.line)")
            _ = try store.floor(of: first.line)
        }
    }

    // MARK: - Attempts

    @Test("starts are counted for one version at a time, and forgotten")
    func attempts() async throws {
        let store = try ModelStore(opening: state)
        let first = try await add(store, try tiny())
        let other = try await add(store, try tiny("tiny-sharded"), "other")
        #expect(try store.attempts(of: other.fingerprint) == 0)
        for count in 1...3 {
            try store.countAttempt(of: other.fingerprint)
            #expect(try ModelStore(reading: state).attempts(of: other.fingerprint) == count)
        }
        #expect(try store.attempts(of: first.fingerprint) == 0)
        try store.countAttempt(of: first.fingerprint)
        #expect(try store.attempts(of: first.fingerprint) == 1 && store.attempts(of: other.fingerprint) == 0)
        try store.forgetAttempts()
        try store.forgetAttempts()
        #expect(try store.attempts(of: first.fingerprint) == 0)
        try Disk().writeDurably("nonsense", to: root + "/attempts")
        #expect(try store.attempts(of: first.fingerprint) == 0)
    }

    // MARK: - Retention and damage

    @Test("retention removes the oldest, never the current, the previous or a protected version, and what nobody refers to")
    func retain() async throws {
        let store = try ModelStore(opening: state)
        var versions: [VersionManifest] = []
        var contents = try tiny()
        versions.append(try await add(store, contents, "v0"))
        for epoch in 1...6 {
            let next = try contents.with(Float(epoch))
            versions.append(try await merge(store, try await made(contents, next, release: "v\(epoch)", epoch: epoch), created: "2026-02-0\(epoch)T00:00:00Z"))
            try store.commit(versions[epoch])
            contents = next
        }
        // Live and previous are the oldest ones now.
        _ = try store.goBack(to: versions[1].fingerprint)
        try store.commit(versions[0])
        let held = try store.contents(of: versions[4])
        let removed = try store.retain(2, beside: [versions[3].fingerprint])
        #expect(removed.map(\.release).sorted() == ["v2", "v4"])
        #expect(Set(try store.versions().map(\.release)) == ["v0", "v1", "v3", "v5", "v6"])
        for version in try store.versions() { try store.verify(version) }
        #expect(try store.unreferenced().isEmpty)
        // Who has it mapped keeps it.
        #expect(held.fingerprint == versions[4].fingerprint)
        #expect(try store.retain(0).map(\.release).sorted() == ["v3", "v5", "v6"])
        #expect(try store.current() == versions[0].fingerprint && store.previous() == versions[1].fingerprint)
        for version in try store.versions() { try store.verify(version) }
        #expect(try store.retain(0).isEmpty)
    }

    @Test("files of nobody are told and removed, where every manifest can be read; else they stay")
    func unreferenced() async throws {
        let nobody = String(repeating: "0", count: 64)
        let first: VersionManifest
        do {
            let store = try ModelStore(opening: state)
            first = try await add(store, try tiny())
            for inner in ["tensors", "rows", "vocabularies"] { try Disk().writeNew("x", to: "\(root)/\(inner)/\(nobody)") }
            #expect(try store.unreferenced() == ["tensors", "rows", "vocabularies"].map { "\(root)/\($0)/\(nobody)" })
        }
        let path = "\(root)/versions/\(first.fingerprint)"
        let manifest = try Disk().read(path, atMost: 1 << 20)
        try Disk().writeDurably("{", to: path)
        do {
            let store = try ModelStore(opening: state)
            #expect(Disk().exists("\(root)/tensors/\(nobody)"))
            withExtendedLifetime(store) {}
        }
        try Disk().writeDurably(manifest, to: path)
        let store = try ModelStore(opening: state)
        #expect(try store.unreferenced().isEmpty && !Disk().exists("\(root)/tensors/\(nobody)"))
        try store.verify(first)
    }

    @Test("a flipped byte is found and its file removed, who has it mapped keeps it, and an import heals the version")
    func damage() async throws {
        let store = try ModelStore(opening: state)
        let base = try tiny()
        let first = try await add(store, base)
        #expect(try store.removeDamaged(of: first).isEmpty)
        let digest = try #require(base["cls.predictions.bias"]).digest()
        let path = "\(root)/tensors/\(digest)"
        var bytes = try Disk().read(path, atMost: 1 << 20)
        bytes[5] ^= 1
        try Disk().writeDurably(bytes, to: path)
        #expect(throws: StoreError.self) { try store.verify(first) }
        #expect(try store.removeDamaged(of: first) == [path])
        #expect(!Disk().exists(path))
        #expect(throws: StoreError.self) { try store.contents(of: first) }
        let again = try await add(store, base)
        #expect(again.fingerprint == first.fingerprint)
        try store.verify(first)
        #expect(try store.removeDamaged(of: first).isEmpty)
    }

    @Test("damage to a version's rows is found, in the payload as in the source", arguments: ["payload", "source"])
    func damagedRows(part: String) async throws {
        let base = try tiny()
        let store = try ModelStore(opening: state)
        _ = try await add(store, base)
        let merged = try await merge(store, try await made(base, try base.changing([words]) { $0.storeBytes(of: 1, as: Float.self) }))
        let path = part == "payload" ? "\(root)/rows/\(try list("rows")[0])" : "\(root)/tensors/\(try #require(base[words]).digest())"
        var bytes = try Disk().read(path, atMost: 1 << 20)
        bytes[bytes.count - 1] ^= 1
        try Disk().writeDurably(bytes, to: path)
        #expect(try store.removeDamaged(of: merged) == [path])
    }
}
