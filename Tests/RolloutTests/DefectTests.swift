import Disk
import Engine
import Ledger
import ModelFormat
import ModelStore
import PatchFormat
import Rollout
import StrictJSON
import TestSupport
import Testing

/// Each was wrong once.
@Suite("what was wrong once", .serialized)
struct DefectTests {
    private let bench: Bench

    init() throws { bench = try Bench() }

    private func base() async throws -> ModelContents {
        let old = try tiny()
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        return old
    }

    private func identity(_ bytes: [UInt8]) throws -> String { "\(try PatchFile(shared(bytes), name: "p").identity)" }

    @Test("the same patch under two names at once: one is committed, the other a duplicate, and it stays recorded as committed")
    func twoNames() async throws {
        let old = try await base()
        let patch = try await bench.patch(old, try old.with(0.5), release: "v1", epoch: 1)
        for name in ["a", "b", "c"] { try bench.put(patch, as: name + ".tkp.zst") }
        try await bench.serving { _ in
            try await bench.wait("a.tkp.zst", for: "committed")
            for name in ["b", "c"] { try await bench.wait(name + ".tkp.zst", for: "duplicate", or: .seconds(2)) }
        }
        #expect(try bench.ledger.record(of: try identity(patch)).ending == .committed)
    }

    @Test("the same order under two names at once is carried out once, and stays recorded as committed")
    func twoOrders() async throws {
        let old = try await base()
        let order = try bench.order(to: old.fingerprint, line: old.fingerprint, epoch: 1)
        for name in ["a", "b"] { try bench.put(order, as: name + ".tkp.zst") }
        try await bench.serving { _ in
            try await bench.wait("a.tkp.zst", for: "committed")
            try await bench.wait("b.tkp.zst", for: "duplicate", or: .seconds(2))
        }
        #expect(try bench.ledger.record(of: try identity(order)).ending == .committed)
    }

    @Test("a file that another patch replaces while it is taken in: both are committed, and the receipt speaks of the second")
    func replacedMeanwhile() async throws {
        let old = try ModelContents(huggingFace: Places.defaultModel)
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        let new = try old.with(0.5, at: old.tensors.map(\.name)), newer = try new.with(0.25, at: new.tensors.map(\.name))
        let first = try await bench.patch(old, new, release: "v1", epoch: 1)
        let second = try await bench.patch(new, newer, release: "v2", epoch: 2, line: old.fingerprint)
        try await bench.serving { rollout in
            try bench.put(first, as: "latest.tkp.zst")
            try await bench.wait("latest.tkp.zst", for: "merging", "prewarming")
            try bench.put(second, as: "latest.tkp.zst")
            try? await bench.until("the second live", or: .seconds(5)) { rollout.models.live?.fingerprint == newer.fingerprint }
            #expect(rollout.models.live?.fingerprint == newer.fingerprint)
            let wanted = try identity(second)
            // The reference first, then history and receipt.
            try? await bench.until("its receipt", or: .seconds(5)) {
                bench.receipt("latest.tkp.zst").map { $0["status"]?.string == "committed" && $0["identity"]?.string == wanted } ?? false
            }
            let receipt = try #require(bench.receipt("latest.tkp.zst"))
            #expect(receipt["status"]?.string == "committed" && receipt["identity"]?.string == wanted, "\(receipt.serialized)")
        }
        #expect(try bench.ledger.record(of: try identity(first)).ending == .committed)
        #expect(try bench.ledger.record(of: try identity(second)).ending == .committed)
    }

    @Test("a patch that went live and whose end a failing disk did not record is recorded at the next start, and not refused as a replay")
    func recovered() async throws {
        let old = try await base()
        let patch = try await bench.patch(old, try old.with(0.5), release: "v1", epoch: 1)
        // As a power cut between the commit and its record leaves it.
        do {
            let store = try await bench.opened()
            let file = try PatchFile(shared(patch), name: "p")
            guard case (.patch(let plan), _) = try file.opened(.nobodyAsked) else { return }
            try store.commit(try await store.merge(file, plan, signer: "alice", created: "2026-01-02T00:00:00Z"))
        }
        try bench.put(patch, as: "v1.tkp.zst")
        do { _ = try await bench.started() }
        #expect(try bench.ledger.record(of: try identity(patch)).ending == .committed)
        try await bench.serving { _ in
            try await bench.wait("v1.tkp.zst", for: "committed", "duplicate", or: .seconds(2))
        }
        #expect(try bench.ledger.record(of: try identity(patch)).ending == .committed)
    }

    @Test("a commit that fails after it moved the pointer leaves disk and memory at the same version")
    func halfCommit() async throws {
        func life(_ faults: (Int) -> FaultPlan) async throws -> (steps: Int, isTrue: Bool) {
            let bench = try Bench()
            try await bench.add(try tiny(), release: "old", created: "2026-01-01T00:00:00Z")
            let counting = FaultPlan(failingAt: nil)
            do { _ = try await bench.opened(Disk(faults: counting)) }
            let plan = faults(counting.steps)
            let rollout = try await bench.started(disk: Disk(faults: plan))
            _ = try? await rollout.importFolder(Places.fixtures + "/tiny-sharded", release: "new")
            return (plan.steps, rollout.models.live?.fingerprint == (try ModelStore(reading: bench.state).current()))
        }
        let whole = try await life { _ in FaultPlan(failingAt: nil) }.steps
        var findings: [Int] = []
        // The commit and the lines after it.
        for step in (whole - 20)..<whole where try await !life({ _ in FaultPlan(failingAt: step, .once(5)) }).isTrue { findings.append(step - whole) }
        #expect(findings == [])
    }

    @Test("a damaged pointer is mended: patches are taken after it as before")
    func damagedPointer() async throws {
        let old = try await base()
        let new = try old.with(0.5)
        try await bench.add(new, release: "new", created: "2026-01-02T00:00:00Z")
        try Disk().writeDurably("nonsense", to: bench.state + "/store/current")
        try await bench.serving { rollout in
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
            try bench.put(try await bench.patch(old, try old.with(0.75), release: "v1", epoch: 1), as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed", or: .seconds(2))
        }
    }

    @Test("one damaged manifest of a version that nobody serves does not keep patches from being taken")
    func damagedOther() async throws {
        let other = try await bench.add(try tiny("tiny-sharded"), release: "other", created: "2025-01-01T00:00:00Z")
        let old = try await base()
        try await bench.add(try old.with(0.25), release: "between", created: "2026-01-02T00:00:00Z")
        try await bench.add(try old.with(0.5), release: "live", created: "2026-01-03T00:00:00Z")
        try Disk().writeDurably("{", to: "\(bench.state)/store/versions/\(other.fingerprint)")
        let live = try old.with(0.5)
        try await bench.serving { _ in
            try bench.put(try await bench.patch(live, try old.with(0.75), release: "v1", epoch: 1), as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed", or: .seconds(2))
        }
    }

    @Test("a suspect version whose snapshot is damaged: the packaged model answers at once, not after another restart")
    func suspectWithDamagedSnapshot() async throws {
        let old = try await base()
        try await bench.add(try old.with(0.5), release: "new", created: "2026-01-02T00:00:00Z")
        for _ in 0..<3 { _ = try await bench.started() }
        try Disk().remove("\(bench.state)/store/tensors/\(try #require(old["cls.predictions.bias"]).digest())")
        let rollout = try await bench.started()
        #expect(rollout.models.live != nil)
    }

    @Test("a flipped byte in a file that live and snapshot share: neither is served or gone back to any more")
    func sharedDamage() async throws {
        let old = try await base()
        try await bench.add(try old.with(0.5), release: "new", created: "2026-01-02T00:00:00Z")
        try await bench.serving { rollout in
            try await bench.until("a snapshot") { rollout.models.snapshot != nil }
            let path = "\(bench.state)/store/tensors/\(try #require(old["bert.embeddings.word_embeddings.weight"]).digest())"
            var bytes = try Disk().read(path, atMost: 1 << 20)
            bytes[0] ^= 1
            try Disk().writeDurably(bytes, to: path)
            try await bench.until("the packaged model live", or: .seconds(5)) { rollout.models.live?.release == "packaged" }
        }
    }
}
