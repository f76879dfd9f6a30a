import Disk
import Engine
import Foundation
import ModelFormat
import ModelStore
import Rollout
import TestSupport
import Testing

/// What the fast path maps (`store/packed`), seen through the lives of a service.
@Suite("packed files", .serialized)
struct PackedFilesTests {
    private static let query = "bert.encoder.layer.0.attention.self.query.weight"
    private static let value = "bert.encoder.layer.1.attention.self.value.weight"
    /// One blank.
    private static let ids: [[Int32]] = [[2, 20, 4, 30, 3]]

    private let bench: Bench
    private var folder: String { bench.state + "/store/packed" }

    init() throws { bench = try Bench() }

    private func files() throws -> Set<String> { Set(try Disk().list(folder)) }

    private func name(_ matrix: PackedMatrix) -> String { "\(matrix.tensor.digest()).\(matrix.planes)x8.\(PackedMatrix.layout)" }

    private func names(_ contents: ModelContents, learned: Set<String> = []) -> Set<String> {
        Set(PackedMatrix.all(of: contents, learned: learned).map(name))
    }

    /// Every matrix has its file, with the bytes it must have.
    private func check(_ contents: ModelContents, learned: Set<String> = []) throws {
        for matrix in PackedMatrix.all(of: contents, learned: learned) {
            let kept = try Disk().read("\(folder)/\(name(matrix))", atMost: 1 << 24)
            let made = try matrix.packed().withBytes { Array($0) }
            #expect(kept == made, "\(matrix.tensor.name)")
        }
    }

    /// Inode and time of change of each file.
    private func stamps() throws -> [String: [Int]] {
        var stamps: [String: [Int]] = [:]
        for name in try files() {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
            let changed = try #require(attributes[.modificationDate] as? Date)
            stamps[name] = [try #require(attributes[.systemFileNumber] as? Int), Int(changed.timeIntervalSince1970 * 1_000_000)]
        }
        return stamps
    }

    /// In place: who has it mapped sees it.
    private func spoil(_ name: String) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: "\(folder)/\(name)"))
        defer { try? file.close() }
        let bytes = try #require(try file.read(upToCount: 512))
        try file.seek(toOffset: 0)
        try file.write(contentsOf: Data(bytes.map { $0 ^ 0x11 }))
    }

    private func logits(_ version: Version?) async throws -> [[Float]] {
        try await #require(version).fillMask.logits(Self.ids, precision: .fast)
    }

    private func inMemory(_ contents: ModelContents) async throws -> [[Float]] {
        try await FillMask(contents, pool: bench.pool).logits(Self.ids, precision: .fast)
    }

    private func base() async throws -> ModelContents {
        let old = try tiny()
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        return old
    }

    @Test("a start and an import beside the service write a file for each matrix, which is what its tensor makes")
    func imported() async throws {
        let old = try await base()
        let rollout = try await bench.started()
        #expect(try files() == names(old))
        try check(old)
        let before = try stamps()
        _ = try await rollout.importFolder(Places.fixtures + "/tiny-untied-f16", release: "new")
        let new = try tiny("tiny-untied-f16")
        #expect(try files() == names(old).union(names(new)))
        try check(new)
        #expect(try stamps().filter { before[$0.key] != nil } == before)
        #expect(try await logits(rollout.models.live) == inMemory(new))
    }

    @Test("an intake packs what the patch changed, in sixteen bits where the model is small, and leaves the other files alone")
    func intake() async throws {
        let old = try await base(), new = try old.with(0.5, at: [Self.query, "cls.predictions.bias"])
        try await bench.serving { rollout in
            let before = try stamps()
            try bench.put(try await bench.patch(old, new, release: "v1", epoch: 1), as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed")
            let after = try stamps()
            #expect(after.filter { before[$0.key] != nil } == before)
            let added = Set(after.keys).subtracting(before.keys)
            #expect(added == ["\(try #require(new[Self.query]).digest()).2x8.\(PackedMatrix.layout)"])
            try check(new, learned: [Self.query])
            let answer = try await logits(rollout.models.live), back = try await logits(rollout.models.snapshot)
            #expect(answer != back)
            #expect(try await back == inMemory(old))
        }
    }

    @Test("retention removes a version's packed files with it, and none that another version has")
    func retained() async throws {
        var settings = bench.settings
        settings.kept = 1
        let first = try await base()
        var all = [first]
        try await bench.serving(settings) { rollout in
            for epoch in 1...3 {
                let next = try all[epoch - 1].with(Float(epoch) / 8, at: [Self.query])
                try bench.put(
                    try await bench.patch(all[epoch - 1], next, release: "v\(epoch)", epoch: epoch, line: first.fingerprint),
                    as: "v\(epoch).tkp.zst")
                try await bench.wait("v\(epoch).tkp.zst", for: "committed")
                all.append(next)
            }
            // The receipt is written first.
            try await bench.until("two versions") { try ModelStore(reading: bench.state).versions().count == 2 }
            try await bench.until("nobody's files gone") { try ModelStore(reading: bench.state).unreferenced().isEmpty }
            let there = Set(try files().map { String($0.prefix(64)) })
            let kept = Set(all.suffix(2).flatMap { PackedMatrix.all(of: $0).map { "\($0.tensor.digest())" } })
            #expect(there == kept)
            #expect(rollout.models.live?.fingerprint == all[3].fingerprint)
        }
    }

    @Test("a version answers the same after a restart, also where the version that its line began with is no longer kept", arguments: [8, 1])
    func restarted(kept: Int) async throws {
        var settings = bench.settings
        settings.kept = kept
        let first = try await base()
        var last = first, answer: [[Float]] = []
        try await bench.serving(settings) { rollout in
            for (epoch, name) in [(1, Self.query), (2, Self.value)] {
                let next = try last.with(Float(epoch) / 8, at: [name])
                try bench.put(
                    try await bench.patch(last, next, release: "v\(epoch)", epoch: epoch, line: first.fingerprint), as: "v\(epoch).tkp.zst")
                try await bench.wait("v\(epoch).tkp.zst", for: "committed")
                last = next
            }
            answer = try await logits(rollout.models.live)
        }
        let rollout = try await bench.started(settings)
        #expect(rollout.models.live?.fingerprint == last.fingerprint)
        #expect(try await logits(rollout.models.live) == answer)
    }

    @Test("what is missing, of a wrong length, or left half written is made again at the next start")
    func mended() async throws {
        let old = try await base()
        do { _ = try await bench.started() }
        let all = try files().sorted()
        let size = try Disk().read("\(folder)/\(all[1])", atMost: 1 << 24)
        try Disk().remove("\(folder)/\(all[0])")
        try Disk().writeDurably(Array(size.dropLast(64)), to: "\(folder)/\(all[1])")
        try Disk().writeDurably(size + [0], to: "\(folder)/\(all[2])")
        try Disk().writeDurably([UInt8](), to: "\(folder)/\(all[3])")
        try Disk().writeNew("half", to: "\(folder)/\(all[0]).partial")
        let rollout = try await bench.started()
        #expect(try files() == names(old))
        try check(old)
        #expect(try await logits(rollout.models.live) == inMemory(old))
    }

    @Test("a start whose disk fails at any one step, or from it on, answers as ever")
    func faults() async throws {
        let old = try await base()
        let wanted = try await inMemory(old)
        let counting = FaultPlan(failingAt: nil)
        do { _ = try await bench.started(disk: Disk(faults: counting)) }
        let steps = counting.steps
        #expect(steps > 3 * names(old).count)
        // What the opening of the store itself does must succeed.
        try Disk().remove(folder)
        let opening = FaultPlan(failingAt: nil)
        do { _ = try await bench.opened(Disk(faults: opening)) }
        for fault in [FaultPlan.Fault.lasting(28), .once(5)] {
            for step in opening.steps..<steps {
                try Disk().remove(folder)
                let rollout = try await bench.started(disk: Disk(faults: FaultPlan(failingAt: step, fault)))
                #expect(try await logits(rollout.models.live) == wanted, "\(fault) at step \(step)")
            }
        }
        do { _ = try await bench.started() }
        try check(old)
        #expect(try files() == names(old))
    }

    @Test("where there is no folder to be had for them, versions start and patches are taken in all the same")
    func noFolder() async throws {
        let old = try await base(), new = try old.with(0.5, at: [Self.query])
        try Disk().writeNew("no folder", to: folder)
        try await bench.serving { rollout in
            #expect(try await logits(rollout.models.live) == inMemory(old))
            try bench.put(try await bench.patch(old, new, release: "v1", epoch: 1), as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed")
            #expect(rollout.models.live?.fingerprint == new.fingerprint)
            _ = try await rollout.goBack(reason: nil, by: "test")
            #expect(try await logits(rollout.models.live) == inMemory(old))
        }
        #expect(try Disk().read(folder, atMost: 100) == Array("no folder".utf8))
    }

    @Test("a spoiled file is made anew in the background, and whoever answers from it answers right again", arguments: ["live", "snapshot", "both"])
    func scrubbed(whose: String) async throws {
        let old = try tiny(), new = try old.with(0.5, at: [Self.query])
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        try await bench.add(new, release: "new", created: "2026-01-02T00:00:00Z")
        do {
            let store = try await bench.opened()
            for version in try store.versions() { await store.keepPacked(version, on: .pool) }
        }
        try await bench.serving { rollout in
            try await bench.until("a snapshot") { rollout.models.snapshot != nil }
            let right = (try await logits(rollout.models.live), try await logits(rollout.models.snapshot))
            let contents = whose == "snapshot" ? old : new
            let tensor = whose == "both" ? Self.value : Self.query
            let matrix = try #require(PackedMatrix.all(of: contents).first { $0.tensor.name == tensor })
            let path = name(matrix)
            try spoil(path)
            #expect(try await logits(rollout.models.live) != right.0 || whose == "snapshot")
            #expect(try await logits(rollout.models.snapshot) != right.1 || whose == "live")
            try await bench.until("the file made anew") {
                (try? Disk().read("\(folder)/\(path)", atMost: 1 << 24)) == (try matrix.packed().withBytes { Array($0) })
            }
            // The snapshot is looked over first; a file that both have is good when the live version's turn comes.
            try await bench.until("the live version right again", or: .seconds(4)) { try await logits(rollout.models.live) == right.0 }
            try await bench.until("the snapshot right again", or: .seconds(4)) { try await logits(rollout.models.snapshot) == right.1 }
            #expect(rollout.models.live?.fingerprint == new.fingerprint && rollout.models.snapshot?.fingerprint == old.fingerprint)
        }
    }
}
