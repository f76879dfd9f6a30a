import Disk
import ModelFormat
import ModelStore
import Rollout
import TestSupport
import Testing

@Suite("the snapshot and the floor, whatever the clock says")
struct SnapshotTests {
    private let bench: Bench

    init() throws { bench = try Bench() }

    private func base() async throws -> ModelContents {
        let old = try tiny()
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        return old
    }

    @Test("a damaged manifest of the current version: the previous one answers, not the packaged model", arguments: ["damaged", "gone"])
    func damagedManifest(how: String) async throws {
        let old = try await base()
        let new = try old.with(0.5)
        try await bench.add(new, release: "new", created: "2026-01-02T00:00:00Z")
        let path = "\(bench.state)/store/versions/\(new.fingerprint)"
        if how == "damaged" { try Disk().writeDurably("{", to: path) } else { try Disk().remove(path) }
        let rollout = try await bench.started()
        #expect(rollout.models.live?.fingerprint == old.fingerprint)
    }

    @Test("two imports within one second: going back twice does not bring the second one back")
    func sameSecond() async throws {
        let old = try await base()
        try await bench.add(try tiny("tiny-sharded"), release: "new", created: "2026-01-01T00:00:00Z")
        let store = try await bench.opened()
        _ = try store.goBack()
        #expect(throws: StoreError.self) { try store.goBack() }
        #expect(try store.current() == old.fingerprint)
    }

    @Test("an import while the clock is behind has a snapshot all the same")
    func clockBehind() async throws {
        let old = try await base()
        try await bench.add(try tiny("tiny-sharded"), release: "new", created: "2025-01-01T00:00:00Z")
        let store = try await bench.opened()
        #expect(try store.snapshot().fingerprint == old.fingerprint)
    }

    @Test("an older version that is imported once more has the one it replaced as its snapshot")
    func importedAgain() async throws {
        let old = try await base()
        let new = try await bench.add(try tiny("tiny-sharded"), release: "new", created: "2026-01-02T00:00:00Z")
        try await bench.add(old, release: "old", created: "2026-01-03T00:00:00Z")
        #expect(try ModelStore(reading: bench.state).snapshot().fingerprint == new.fingerprint)
    }

    @Test("the floor of an import with an epoch of its own stays when it is neither current nor previous any more")
    func importedEpoch() async throws {
        let contents = try tiny()
        let line = contents.fingerprint
        let exported = bench.folder.path + "/exported"
        try contents.with(0.5).export(to: exported, release: "v5", epoch: 5, line: line)
        try await bench.add(try ModelContents(huggingFace: exported), release: "v5", created: "2026-01-01T00:00:00Z")
        let before = try ModelStore(reading: bench.state).floor(of: line)
        try await bench.add(try tiny("tiny-sharded"), release: "x", created: "2026-01-02T00:00:00Z")
        try await bench.add(try tiny("tiny-bf16-relu"), release: "y", created: "2026-01-03T00:00:00Z")
        #expect(try before == 5 && ModelStore(reading: bench.state).floor(of: line) == 5)
    }
}
