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

/// The actor without HTTP: a store, a drop folder, a key. One life at a time in this process.
@Suite("the rollout, from start to end", .serialized)
struct RolloutTests {
    private let bench: Bench

    init() throws { bench = try Bench() }

    private func tensorFiles() throws -> [String] { try Disk().list(bench.state + "/store/tensors") }

    private func flip(_ path: String) throws {
        var bytes = try Disk().read(path, atMost: 1 << 20)
        bytes[0] ^= 1
        try Disk().writeDurably(bytes, to: path)
    }

    private func tensor(_ contents: ModelContents, _ name: String = "cls.predictions.bias") throws -> String {
        "\(bench.state)/store/tensors/\(try #require(contents[name]).digest())"
    }

    // MARK: - Starting

    @Test("with an empty state folder the packaged model is kept, committed, and answers")
    func empty() async throws {
        let rollout = try await bench.started()
        let live = try #require(rollout.models.live)
        #expect(live.release == "packaged" && live.epoch == 0)
        #expect(live.fingerprint == (try tiny("tiny-capitals").fingerprint))
        #expect(try await live.fillMask.answer(Question("[MASK]")).blanks.count == 1)
        let store = ModelStore(reading: bench.state)
        #expect(try store.current() == live.fingerprint)
        #expect(try store.manifest(named: nil).origin == .embedded)
        #expect(try bench.kinds == ["started"])
    }

    @Test("a newer program's model takes over where nobody chose another, and only there")
    func newerPackage() async throws {
        do { _ = try await bench.started() }
        var settings = bench.settings
        settings.packagedRelease = "packaged 2"
        settings.packaged = { () throws(ModelFormatError) in try ModelContents(huggingFace: "\(Places.fixtures)/tiny-tied") }
        do {
            let rollout = try await bench.started(settings)
            #expect(rollout.models.live?.release == "packaged 2")
        }
        try await bench.add(try tiny("tiny-sharded"), release: "chosen", created: "2026-01-01T00:00:00Z")
        settings.packaged = { () throws(ModelFormatError) in try ModelContents(huggingFace: "\(Places.fixtures)/tiny-bf16-relu") }
        let rollout = try await bench.started(settings)
        #expect(rollout.models.live?.release == "chosen")
    }

    /// Old and new imported, new live.
    private func twoVersions() async throws -> (old: ModelContents, new: ModelContents) {
        let old = try tiny()
        let new = try old.with(0.5)
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        try await bench.add(new, release: "new", created: "2026-01-02T00:00:00Z")
        return (old, new)
    }

    @Test("a version that was started three times without proving itself is gone back from, and stays so")
    func suspect() async throws {
        let (old, new) = try await twoVersions()
        for _ in 0..<3 {
            let rollout = try await bench.started()
            #expect(rollout.models.live?.fingerprint == new.fingerprint)
        }
        do {
            let rollout = try await bench.started()
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
        }
        #expect(try ModelStore(reading: bench.state).current() == old.fingerprint)
        let line = try #require(try bench.ledger.lines().last { $0.kind == "rolled-back" })
        #expect(line.body.contains("breaker") && line.body.contains("\(new.fingerprint)"))
        for _ in 0..<5 {
            let rollout = try await bench.started()
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
        }
        #expect(try bench.ledger.verify().lines > 5)
    }

    @Test("a start that was stopped on purpose was a good one, however often")
    func stopped() async throws {
        let (_, new) = try await twoVersions()
        for _ in 0..<5 {
            let rollout = try await bench.started()
            #expect(rollout.models.live?.fingerprint == new.fingerprint)
            await rollout.stop()
        }
    }

    @Test("with nowhere to go back to a version is served however often it was started")
    func alone() async throws {
        try await bench.add(try tiny(), release: "only", created: "2026-01-01T00:00:00Z")
        for _ in 0..<5 {
            let rollout = try await bench.started()
            #expect(rollout.models.live?.release == "only")
        }
    }

    @Test("where a tensor of the current version is gone or cut short the previous one answers, and is current", arguments: ["gone", "short"])
    func damagedCurrent(how: String) async throws {
        let (old, new) = try await twoVersions()
        let path = try tensor(new)
        if how == "gone" { try Disk().remove(path) } else { try Disk().writeDurably([1, 2, 3], to: path) }
        do {
            let rollout = try await bench.started()
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
        }
        #expect(try ModelStore(reading: bench.state).current() == old.fingerprint)
        #expect(try bench.kinds == ["damaged", "recovered"])
        // The next start finds nothing wrong.
        let rollout = try await bench.started()
        #expect(rollout.models.live?.fingerprint == old.fingerprint)
    }

    @Test("where both are damaged the packaged model answers")
    func damagedBoth() async throws {
        let (old, new) = try await twoVersions()
        for contents in [old, new] { try Disk().remove(try tensor(contents)) }
        let rollout = try await bench.started()
        #expect(rollout.models.live?.release == "packaged")
        #expect(try ModelStore(reading: bench.state).manifest(named: nil).release == "packaged")
    }

    @Test("where nothing can be written either, the packaged model answers from the program itself")
    func lastResort() async throws {
        let (old, new) = try await twoVersions()
        for contents in [old, new] { try Disk().remove(try tensor(contents)) }
        let counting = FaultPlan(failingAt: nil)
        do { _ = try await bench.opened(Disk(faults: counting)) }
        let disk = Disk(faults: FaultPlan(failingAt: counting.steps, .lasting(28)))
        let rollout = try await bench.started(disk: disk)
        #expect(rollout.models.live?.release == "packaged")
    }

    // MARK: - Patches

    @Test("a dropped signed patch is committed and answers; its receipt, the history and the store say the same")
    func committed() async throws {
        let old = try tiny(), new = try old.with(0.5)
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        let patch = try await bench.patch(old, new, release: "v1", epoch: 3)
        let identity = "\(try PatchFile(shared(patch), name: "p").identity)"
        try await bench.serving { rollout in
            try bench.put(patch, as: "春风.tkp.zst")
            let receipt = try await bench.wait("春风.tkp.zst", for: "committed")
            #expect(receipt["file"]?.string == "春风.tkp.zst" && receipt["identity"]?.string == identity)
            #expect(receipt["release"]?.string == "v1" && receipt["epoch"]?.integer == 3 && receipt["signer"]?.string == "alice")
            #expect(receipt["from"]?.string == "\(old.fingerprint)" && receipt["to"]?.string == "\(new.fingerprint)")
            #expect(receipt["since"]?.string?.utf8.count == 20 && receipt["reason"] == nil && receipt["missing"] == nil)
            let steps = (receipt["steps"]?.elements ?? []).compactMap { $0["step"]?.string }
            #expect(steps == ["settle", "stage", "verify", "merge", "intake", "prewarm", "commit", "switch"])
            #expect(receipt["steps"]?.elements?.allSatisfy { ($0["ms"]?.real ?? -1) >= 0 } == true)
            let live = try #require(rollout.models.live)
            #expect(live.fingerprint == new.fingerprint && rollout.models.snapshot?.fingerprint == old.fingerprint)
            // The first answer to a client adds the figure that counts.
            try await bench.until("swap") {
                live.didAnswer()
                return bench.receipt("春风.tkp.zst")?["steps"]?.elements?.last?["step"]?.string == "swap"
            }
            let head = try #require(bench.receipt("春风.tkp.zst")?["history_head"]?.string)
            #expect(try bench.ledger.lines().contains { $0.hash == head })
            #expect(try bench.ledger.record(of: identity).ending == .committed)
            #expect(rollout.metrics.snapshot.patches == ["committed": 1])
        }
        let store = ModelStore(reading: bench.state)
        #expect(try store.current() == new.fingerprint && store.previous() == old.fingerprint && store.floor(of: old.fingerprint) == 3)
        #expect(try bench.kinds == ["started", "committed"])
        #expect(try bench.ledger.verify().lines == 2)
        #expect(try Disk().list(bench.state + "/staging").isEmpty)
        // Neither moved nor changed.
        #expect(try Disk().read(bench.drop + "/春风.tkp.zst", atMost: 1 << 20) == patch)
    }

    @Test("what may not be taken is refused with its reason, or waits; and nothing of it changes what answers")
    func refusals() async throws {
        let old = try tiny(), new = try old.with(0.5), newer = try new.with(0.75)
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        let line = old.fingerprint
        let good = try await bench.patch(old, new, release: "v1", epoch: 1)
        let second = try await bench.patch(new, newer, release: "v2", epoch: 2, line: line)
        let file = try PatchFile(shared(good), name: "p")
        var flipped = good
        flipped[flipped.count - 10] ^= 1
        let stranger = try await Bench().patch(old, new, release: "by a stranger", epoch: 1)
        try await bench.serving { rollout in
            try bench.put(file.signed(nil), as: "unsigned.tkp.zst")
            try bench.put(stranger, as: "stranger.tkp.zst")
            try bench.put(Array(good.dropLast(7)), as: "short.tkp.zst")
            try bench.put(good + [0], as: "long.tkp.zst")
            try bench.put(Array("no patch at all, and longer than a header".utf8), as: "text.tkp.zst")
            try bench.put(try await bench.patch(old, new, release: "jump", epoch: 1001), as: "jump.tkp.zst")
            try bench.put(try await bench.patch(old, new, release: "foreign", epoch: 1, line: newer.fingerprint), as: "foreign.tkp.zst")
            try bench.put(second, as: "early.tkp.zst")
            try bench.put([1], as: ".hidden.tkp.zst")
            try bench.put([1], as: "notes.txt")
            try Disk().makeFolder(bench.drop + "/folder.tkp.zst")
            for (name, status, word) in [
                ("unsigned", "refused", "signature"), ("stranger", "refused", "key"), ("short", "incomplete", "bytes"), ("long", "refused", "bytes"),
                ("text", "refused", "patch of tiankong"), ("jump", "refused", "epoch"), ("foreign", "refused", "line"),
                ("early", "waiting-for-base", "base"), ("folder", "refused", "ordinary file"),
            ] {
                let receipt = try await bench.wait("\(name).tkp.zst", for: status)
                #expect(receipt["reason"]?.string?.contains(word) == true, "\(name): \(receipt["reason"]?.string ?? "no reason")")
            }
            #expect(bench.receipt("early.tkp.zst")?["missing"]?.string == "\(new.fingerprint)")
            #expect(rollout.models.live?.fingerprint == old.fingerprint && rollout.models.snapshot == nil)
            #expect(!Disk().exists(bench.drop + "/.hidden.tkp.zst.status.json") && !Disk().exists(bench.drop + "/notes.txt.status.json"))
            // Damaged on its way, and not the patch's own fault: the same manifest in a good file is taken, and what waited for it.
            try bench.put(flipped, as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "refused")
            try bench.put(good, as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed")
            try await bench.wait("early.tkp.zst", for: "committed")
            #expect(rollout.models.live?.fingerprint == newer.fingerprint)
            // Met again under another name, and an older one as a replay of the same line.
            try bench.put(good, as: "again.tkp.zst")
            try await bench.wait("again.tkp.zst", for: "duplicate")
            try bench.put(try await bench.patch(newer, old, release: "back", epoch: 2, line: line), as: "replay.tkp.zst")
            #expect(try await bench.wait("replay.tkp.zst", for: "refused")["reason"]?.string?.contains("replay") == true)
            try bench.put(try await bench.patch(new, try new.with(0.8), release: "fork", epoch: 3, line: line), as: "fork.tkp.zst")
            #expect(try await bench.wait("fork.tkp.zst", for: "refused")["reason"]?.string?.contains("fork") == true)
        }
        let kinds = try bench.kinds
        #expect(kinds.filter { $0 == "committed" }.count == 2 && kinds.contains("left-alone") && kinds.contains("duplicate"))
        #expect(try bench.ledger.verify().lines == kinds.count)
        #expect(try Disk().list(bench.state + "/quarantine").count >= 6)
        #expect(try Disk().list(bench.state + "/staging").isEmpty)
        #expect(try Disk().list(bench.drop).filter { $0.hasSuffix(".tmp") }.isEmpty)
    }

    @Test("a version that forgot nothing but answers no numbers is refused in its merge, and the same patch is a duplicate after")
    func notFinite() async throws {
        // The maker itself refuses what is not finite: made with zeros, and signed with a wrong result.
        let old = try tiny()
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        let good = try await bench.patch(old, try old.with(0.5), release: "v1", epoch: 1)
        let file = try PatchFile(shared(good), name: "p")
        let text = String(decoding: file.manifestBytes, as: UTF8.self)
        let result = try #require(try tiny().with(0.5)["cls.predictions.bias"]).digest()
        let lying = Array(text.replacing("\(result)", with: String(repeating: "0", count: 64)).utf8)
        let header = PatchHeader(manifest: lying.count, signature: 0, frames: file.header.whole - file.header.framesStart)
        let bytes = try bench.sign(header.bytes + lying + file.signed(nil)[(PatchHeader.size + file.manifestBytes.count)...])
        try await bench.serving { rollout in
            try bench.put(bytes, as: "lying.tkp.zst")
            #expect(try await bench.wait("lying.tkp.zst", for: "refused")["reason"]?.string?.contains("fingerprint") == true)
            try bench.put(bytes, as: "again.tkp.zst")
            try await bench.wait("again.tkp.zst", for: "duplicate")
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
            try bench.put(good, as: "good.tkp.zst")
            try await bench.wait("good.tkp.zst", for: "committed")
        }
        #expect(try ModelStore(reading: bench.state).unreferenced().isEmpty)
    }

    @Test("what was dropped while no service ran is taken at the start, chain by chain, and a file that is done is left alone")
    func whileDown() async throws {
        let old = try tiny(), new = try old.with(0.5), newer = try new.with(0.75)
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        try bench.put(try await bench.patch(new, newer, release: "v2", epoch: 2, line: old.fingerprint), as: "a.tkp.zst")
        try bench.put(try await bench.patch(old, new, release: "v1", epoch: 1), as: "b.tkp.zst")
        try await bench.serving { rollout in
            try await bench.wait("a.tkp.zst", for: "committed")
            #expect(bench.status("b.tkp.zst") == "committed" && rollout.models.live?.fingerprint == newer.fingerprint)
        }
        let (lines, receipts) = (try bench.kinds.count, [bench.receipt("a.tkp.zst"), bench.receipt("b.tkp.zst")].map { $0?.serialized })
        try await bench.serving { rollout in
            try await Task.sleep(for: .milliseconds(500))
            #expect(rollout.models.live?.fingerprint == newer.fingerprint)
        }
        #expect([bench.receipt("a.tkp.zst"), bench.receipt("b.tkp.zst")].map { $0?.serialized } == receipts)
        #expect(try bench.kinds.count == lines + 1)
    }

    // MARK: - Going back

    @Test("a signed order goes back, raises the floor, and closes the way to what lay between")
    func order() async throws {
        let old = try tiny(), new = try old.with(0.5)
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        try await bench.serving { rollout in
            try bench.put(try await bench.patch(old, new, release: "v1", epoch: 1), as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed")
            try bench.put(try bench.order(to: old.fingerprint, line: old.fingerprint, epoch: 5), as: "order.tkp.zst")
            let receipt = try await bench.wait("order.tkp.zst", for: "committed")
            #expect(receipt["to"]?.string == "\(old.fingerprint)" && receipt["signer"]?.string == "alice")
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
            #expect(try await bench.wait("v1.tkp.zst", for: "rolled-back")["reason"]?.string?.contains("order of alice: because") == true)
            try bench.put(try await bench.patch(old, try old.with(0.9), release: "between", epoch: 5), as: "between.tkp.zst")
            #expect(try await bench.wait("between.tkp.zst", for: "refused")["reason"]?.string?.contains("replay") == true)
            try bench.put(try await bench.patch(old, try old.with(0.9), release: "after", epoch: 6), as: "after.tkp.zst")
            try await bench.wait("after.tkp.zst", for: "committed")
        }
        #expect(try ModelStore(reading: bench.state).floor(of: old.fingerprint) == 6)
    }

    @Test("going back while a patch is taken in: the order wins, the patch is superseded, and a second going back is refused")
    func supersede() async throws {
        let old = try tiny(), new = try old.with(0.5), newer = try new.with(0.75, at: new.tensors.map(\.name))
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        let second = try await bench.patch(new, newer, release: "v2", epoch: 2, line: old.fingerprint)
        try await bench.serving { rollout in
            try bench.put(try await bench.patch(old, new, release: "v1", epoch: 1), as: "v1.tkp.zst")
            try await bench.wait("v1.tkp.zst", for: "committed")
            while rollout.rolloutJSON["state"]?.string != "idle" { await Task.yield() }
            try bench.put(second, as: "v2.tkp.zst")
            while rollout.rolloutJSON["state"]?.string == "idle" { await Task.yield() }
            let back = try await rollout.goBack(reason: "too hasty", by: "test")
            #expect(back.to.fingerprint == old.fingerprint && back.took < .milliseconds(50))
            try await bench.wait("v2.tkp.zst", for: "superseded")
            #expect(rollout.models.live?.fingerprint == old.fingerprint && rollout.models.snapshot == nil)
            #expect(try await bench.wait("v1.tkp.zst", for: "rolled-back")["reason"]?.string?.contains("too hasty") == true)
            await #expect { try await rollout.goBack(reason: nil, by: "test") } throws: { error in
                guard case RolloutError.store(.noSnapshot) = error else { return false }
                return true
            }
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
        }
        let store = ModelStore(reading: bench.state)
        #expect(try store.current() == old.fingerprint)
        let identity = "\(try PatchFile(shared(second), name: "p").identity)"
        #expect(try bench.ledger.record(of: identity).ending == .superseded)
        #expect(try bench.ledger.verify().lines == bench.kinds.count)
        // And so it is after a restart.
        let rollout = try await bench.started()
        #expect(rollout.models.live?.fingerprint == old.fingerprint)
    }

    @Test("any kept version may be gone back to by its release, the packaged one by that word, an unknown one not")
    func anywhere() async throws {
        let (old, _) = try await twoVersions()
        let rollout = try await bench.started()
        _ = try await rollout.goBack(to: "packaged", reason: nil, by: "test")
        #expect(rollout.models.live?.release == "packaged")
        _ = try await rollout.goBack(to: "old", reason: nil, by: "test")
        #expect(rollout.models.live?.fingerprint == old.fingerprint)
        await #expect(throws: RolloutError.self) { try await rollout.goBack(to: "nobody", reason: nil, by: "test") }
        #expect(rollout.models.live?.fingerprint == old.fingerprint)
        #expect(try ModelStore(reading: bench.state).current() == old.fingerprint)
    }

    // MARK: - Imports, upkeep, retention

    @Test("a folder that is imported beside the service goes live; what was live is the snapshot, ready to go back to")
    func importing() async throws {
        let old = try tiny()
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
        let rollout = try await bench.started()
        _ = try await rollout.importFolder(Places.fixtures + "/tiny-sharded", release: "new")
        #expect(rollout.models.live?.release == "new" && rollout.models.snapshot?.fingerprint == old.fingerprint)
        let live = try #require(rollout.models.live)
        #expect(try await live.fillMask.answer(Question("[MASK]")).blanks.count == 1)
        // What is there is served as it is.
        _ = try await rollout.importFolder(Places.fixtures + "/tiny-sharded", release: "new")
        #expect(rollout.models.live?.fingerprint == live.fingerprint && rollout.models.snapshot?.fingerprint == old.fingerprint)
        await #expect(throws: RolloutError.self) { try await rollout.importFolder("/nowhere", release: nil) }
        #expect(try await rollout.goBack(reason: nil, by: "test").to.fingerprint == old.fingerprint)
        #expect(try ModelStore(reading: bench.state).current() == old.fingerprint)
    }

    @Test("of many versions the newest are kept, the live one and the snapshot among them")
    func retention() async throws {
        var settings = bench.settings
        settings.kept = 3
        var contents = try tiny()
        let line = contents.fingerprint
        try await bench.add(contents, release: "v0", created: "2026-01-01T00:00:00Z")
        try await bench.serving(settings) { rollout in
            for epoch in 1...6 {
                let next = try contents.with(Float(epoch))
                try bench.put(try await bench.patch(contents, next, release: "v\(epoch)", epoch: epoch, line: line), as: "v\(epoch).tkp.zst")
                try await bench.wait("v\(epoch).tkp.zst", for: "committed")
                contents = next
            }
            #expect(rollout.models.live?.release == "v6" && rollout.models.snapshot?.release == "v5")
            try await bench.until("three versions") { try ModelStore(reading: bench.state).versions().count == 3 }
        }
        let store = ModelStore(reading: bench.state)
        #expect(Set(try store.versions().map(\.release)) == ["v4", "v5", "v6"])
        for version in try store.versions() { try store.verify(version) }
        #expect(try store.unreferenced().isEmpty)
        #expect(try bench.kinds.filter { $0 == "removed" }.count == 4)
    }

    @Test("a flipped byte in the snapshot's own file is found in the background, and going back leads to the packaged model then")
    func scrubbed() async throws {
        let (old, new) = try await twoVersions()
        try await bench.serving { rollout in
            try await bench.until("a snapshot") { rollout.models.snapshot != nil }
            try flip(try tensor(old))
            try await bench.until("damage found") { rollout.models.snapshot == nil }
            #expect(rollout.models.live?.fingerprint == new.fingerprint)
            #expect(try await rollout.goBack(reason: nil, by: "test").to.release == "packaged")
        }
        #expect(try bench.kinds.contains("damaged"))
    }

    @Test("a flipped byte in the live version's own file: the snapshot answers without anybody's doing")
    func scrubbedLive() async throws {
        let (old, new) = try await twoVersions()
        try flip(try tensor(new))
        try await bench.serving { rollout in
            try await bench.until("the snapshot live") { rollout.models.live?.fingerprint == old.fingerprint }
        }
        #expect(try ModelStore(reading: bench.state).current() == old.fingerprint)
    }
}
