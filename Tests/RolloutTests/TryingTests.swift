import Disk
import Engine
import Evaluation
import ModelFormat
import Ledger
import ModelStore
import Rollout
import Signing
import StrictJSON
import Synchronization
import TestSupport
import Testing

/// A candidate on its way: the real rollout, its suites in this process, its traffic made here.
@Suite("a candidate earns its traffic", .serialized)
struct TryingTests {
    private let bench: Bench
    private let old: ModelContents

    init() throws {
        bench = try Bench()
        old = try tiny()
    }

    /// As many rows as the failure test wants and more.
    private static func suite(rows: Int = 300) throws -> Suite {
        let lines = (0..<rows).map { "第\($0)句：[MASK]好。\t\("春夏秋冬"[String.Index(utf16Offset: $0 % 4, in: "春夏秋冬")])" }
        return try Suite(tsv: Array((["sentence\tanswer"] + lines).joined(separator: "\n").utf8), name: "made")
    }

    private func settings(_ policy: Policy = .normal, dwell: Duration = .milliseconds(60)) throws -> Rollout.Settings {
        var settings = bench.settings
        let suite = try Self.suite()
        (settings.policy, settings.dwell, settings.suites) = (policy, dwell, { [suite] })
        settings.settle = .milliseconds(20)
        return settings
    }

    /// What a shadow says instead: of whatever is tried.
    private func saying(_ events: @escaping @Sendable (Int) -> [ShadowEvent]) -> Shadowing {
        let times = Atomic(0)
        return { _ in
            let time = times.add(1, ordering: .relaxed).newValue
            return AsyncStream { continuation in
                for event in events(time) { continuation.yield(event) }
                continuation.finish()
            }
        }
    }

    private static let good = ShadowPair(
        suite: "made", live: .init(rank: 1, confidence: 0.9, milliseconds: 1), candidate: .init(rank: 1, confidence: 0.9, milliseconds: 1),
        isSame: true, isKept: true)
    private static let whole: [ShadowEvent] = [.ready] + Array(repeating: .pair(good), count: 300) + [.complete]

    private func base() async throws {
        try await bench.add(old, release: "old", created: "2026-01-01T00:00:00Z")
    }

    private func drop(_ value: Float = 0.01, as name: String = "a.tkp.zst", epoch: Int = 1) async throws -> Fingerprint {
        let new = try old.with(value)
        try bench.put(try await bench.patch(old, new, release: "new", epoch: epoch), as: name)
        return new.fingerprint
    }

    private func stages() throws -> [Int] {
        try bench.ledger.lines().filter { $0.kind == "stage" }.compactMap { try? JSON(parsing: Array($0.body.utf8))["percent"]?.integer }
    }

    /// Until the candidate takes traffic.
    private func candidate(of rollout: Rollout) async throws -> Version {
        try await bench.until("a candidate takes traffic") { rollout.models.candidate != nil }
        return try #require(rollout.models.candidate)
    }

    @Test("a good patch is asked in the shadow, given 5, 20, 50 and 100 per cent, and committed; the old version is its snapshot")
    func good() async throws {
        try await base()
        try await bench.serving(try settings()) { rollout in
            let new = try await drop()
            let told = try await bench.wait("a.tkp.zst", for: "committed", "rolled-back", "refused")
            #expect(told["status"]?.string == "committed", "\(told.serialized)")
            #expect(rollout.models.live?.fingerprint == new)
            #expect(rollout.models.snapshot?.fingerprint == old.fingerprint)
            #expect(rollout.models.candidate == nil)
        }
        #expect(try stages() == [5, 20, 50, 100])
        #expect(try bench.kinds.filter { ["shadowed", "committed", "rolled-back"].contains($0) } == ["shadowed", "committed"])
    }

    @Test("while a candidate is tried the disk says the old version; a restart ends as old, and the patch is tried again")
    func restart() async throws {
        try await base()
        let new = try old.with(0.01).fingerprint
        try await bench.serving(try settings(dwell: .seconds(30))) { rollout in
            _ = try await drop()
            _ = try await candidate(of: rollout)
            #expect(try ModelStore(reading: bench.state).current() == old.fingerprint)
        }
        try await bench.serving(try settings()) { rollout in
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
            try await bench.wait("a.tkp.zst", for: "committed")
            #expect(rollout.models.live?.fingerprint == new)
        }
    }

    @Test("careful waits for questions of three clients, says so, and goes on when they have come")
    func careful() async throws {
        try await base()
        try await bench.serving(try settings(.careful)) { rollout in
            let new = try await drop()
            let told = try await bench.wait("a.tkp.zst", for: "held")
            #expect(told["reason"]?.string?.contains("not enough evidence") == true, "\(told.serialized)")
            #expect(told["reason"]?.string?.contains("expected 200, found 0") == true)
            #expect(try stages() == [5])
            while rollout.models.live?.fingerprint != new {
                guard let candidate = rollout.models.candidate else { break }
                for client in 0..<250 { candidate.tally.answered(ClientKey("client \(client % 3)"), took: .milliseconds(1), confidence: 0.5) }
                try await Task.sleep(for: .milliseconds(20))
            }
            try await bench.wait("a.tkp.zst", for: "committed")
        }
        #expect(try stages() == [5, 20, 50, 100])
    }

    @Test("two clients are not three")
    func twoClients() async throws {
        try await base()
        try await bench.serving(try settings(.careful)) { rollout in
            _ = try await drop()
            let candidate = try await candidate(of: rollout)
            for question in 0..<1000 { candidate.tally.answered(ClientKey("client \(question % 2)"), took: .milliseconds(1), confidence: 0.5) }
            try await bench.until("it is said") { bench.receipt("a.tkp.zst")?["reason"]?.string?.contains("expected 3, found 2") == true }
            try await Task.sleep(for: .milliseconds(300))
            #expect(try stages() == [5])
        }
    }

    @Test("a candidate that fails clients goes back at its first stage, and its clients are answered by the live version again")
    func failing() async throws {
        try await base()
        try await bench.serving(try settings(dwell: .seconds(30))) { rollout in
            _ = try await drop()
            let candidate = try await candidate(of: rollout)
            for _ in 0..<6 { candidate.tally.failed(ClientKey("somebody"), .internal) }
            let told = try await bench.wait("a.tkp.zst", for: "rolled-back")
            #expect(told["reason"]?.string?.contains("failures") == true, "\(told.serialized)")
            #expect(rollout.models.candidate == nil && rollout.models.live?.fingerprint == old.fingerprint)
        }
        #expect(try stages() == [5])
        let line = try #require(try bench.ledger.lines().last { $0.kind == "rolled-back" })
        let body = try JSON(parsing: Array(line.body.utf8))
        #expect(body["verdict"]?["reasons"]?.elements?.first?["kind"]?.string == "failures")
        #expect(body["evidence"]?["traffic"]?["candidate"]?["failures"]?.integer == 6)
    }

    @Test("an order to go back takes back what is tried, and leaves what was live before")
    func takenBack() async throws {
        try await base()
        try await bench.serving(try settings(dwell: .seconds(30))) { rollout in
            _ = try await drop()
            let candidate = try await candidate(of: rollout)
            let back = try await rollout.goBack(reason: "worse", by: "operator")
            #expect(back.from.fingerprint == candidate.fingerprint && back.to.fingerprint == old.fingerprint)
            let told = try await bench.wait("a.tkp.zst", for: "rolled-back")
            #expect(told["reason"]?.string == "rolled back by operator: worse")
            #expect(rollout.models.live?.fingerprint == old.fingerprint && rollout.models.candidate == nil)
        }
    }

    @Test("hold keeps a stage, over any time; resume goes on")
    func hold() async throws {
        try await base()
        try await bench.serving(try settings()) { rollout in
            _ = try await drop()
            _ = try await candidate(of: rollout)
            _ = try await rollout.hold(by: "operator", reason: "lunch")
            let before = try stages()
            try await Task.sleep(for: .milliseconds(500))
            #expect(try stages() == before)
            _ = try await rollout.resume(by: "operator", reason: nil)
            try await bench.wait("a.tkp.zst", for: "committed")
        }
    }

    @Test("promote commits at once what is at its first stage")
    func promote() async throws {
        try await base()
        try await bench.serving(try settings(dwell: .seconds(30))) { rollout in
            await #expect(throws: RolloutError.self) { try await rollout.promote(by: "operator", reason: nil) }
            let new = try await drop()
            _ = try await candidate(of: rollout)
            _ = try await rollout.promote(by: "operator", reason: "it is Friday")
            try await bench.wait("a.tkp.zst", for: "committed")
            #expect(rollout.models.live?.fingerprint == new)
        }
        #expect(try stages() == [5])
    }

    @Test("what is pinned stays: a patch waits, over a restart too, until somebody resumes")
    func pinned() async throws {
        try await base()
        try await bench.serving(try settings()) { rollout in
            _ = try await rollout.hold(by: "operator", reason: "exam week")
            _ = try await drop()
            try await Task.sleep(for: .milliseconds(400))
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
        }
        try await bench.serving(try settings()) { rollout in
            try await Task.sleep(for: .milliseconds(400))
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
            _ = try await rollout.resume(by: "operator", reason: nil)
            try await bench.wait("a.tkp.zst", for: "committed")
        }
    }

    @Test("a shadow that breaks once is cast again; one that breaks twice speaks against the candidate", arguments: [1, 2])
    func broken(times: Int) async throws {
        try await base()
        var settings = try settings()
        settings.shadow = saying { $0 <= times ? [.ready, .pair(Self.good), .broke("was ended by signal 11")] : Self.whole }
        try await bench.serving(settings) { rollout in
            _ = try await drop()
            let told = try await bench.wait("a.tkp.zst", for: "committed", "rolled-back")
            #expect(told["status"]?.string == (times == 1 ? "committed" : "rolled-back"), "\(told.serialized)")
            if times == 2 { #expect(told["reason"]?.string?.contains("signal 11") == true) }
        }
    }

    @Test("a shadow that cannot be cast says nothing of the candidate: it is held, and tried again")
    func unavailable() async throws {
        try await base()
        var settings = try settings()
        settings.shadow = saying { _ in [.unavailable("no memory for another process")] }
        try await bench.serving(settings) { rollout in
            _ = try await drop()
            let told = try await bench.wait("a.tkp.zst", for: "held", "rolled-back", "refused")
            #expect(told["status"]?.string == "held")
            #expect(told["reason"]?.string?.contains("no memory") == true)
        }
    }

    @Test("a suite that gets worse stops the candidate before it has any traffic")
    func worse() async throws {
        try await base()
        var settings = try settings()
        let lost = ShadowPair(
            suite: "made", live: Self.good.live, candidate: .init(rank: 4, confidence: 0.9, milliseconds: 1), isSame: false, isKept: false)
        settings.shadow = saying { _ in
            [.ready] + Array(repeating: .pair(lost), count: 60) + Array(repeating: .pair(Self.good), count: 240) + [.complete]
        }
        try await bench.serving(settings) { rollout in
            _ = try await drop()
            let told = try await bench.wait("a.tkp.zst", for: "rolled-back", "committed")
            #expect(told["reason"]?.string?.contains("suite made, right first") == true, "\(told.serialized)")
            #expect(try stages().isEmpty)
            // And it is remembered of the version, though it never was live.
            let target = told["to"]?.string ?? ""
            let dossier = try await rollout.dossierJSON(of: target)
            #expect(dossier["verdicts"]?.elements?.last?["verdict"]?.string == "roll-back")
            #expect(dossier["rolled_back"]?.elements?.count == 1)
            #expect(dossier["figures"]?["made"]?["against"]?["top1"]?.real == -0.2)
        }
    }

    @Test("the live version answers its suites by the clock: figures go into its dossier, and the same answers are no drift")
    func suitesByClock() async throws {
        try await base()
        var settings = try settings()
        settings.suitesEvery = .seconds(1)
        try await bench.serving(settings) { rollout in
            try await bench.until("twice answered") { try bench.kinds.count { $0 == "suites" } >= 2 }
            let dossier = try await rollout.dossierJSON(of: "old")
            #expect(dossier["suites"]?.elements?.last?["figures"]?["made"]?["rows"]?.integer == 300)
            // Row by row is for the next comparison, not for who reads.
            #expect(dossier["suites"]?.elements?.last?["marks"] == nil)
        }
        for line in try bench.ledger.lines() where line.kind == "suites" {
            #expect(try JSON(parsing: Array(line.body.utf8))["drift"]?.elements?.isEmpty == true)
        }
    }

    @Test("a suite that cannot be answered is not begun again at once and for ever")
    func suitesBroken() async throws {
        try await base()
        var settings = try settings()
        settings.suitesEvery = .seconds(1)
        let times = Atomic(0)
        settings.shadow = { _ in
            times.add(1, ordering: .relaxed)
            return AsyncStream { continuation in
                continuation.yield(.broke("ended with 1"))
                continuation.finish()
            }
        }
        try await bench.serving(settings) { _ in try await Task.sleep(for: .milliseconds(3500)) }
        #expect((1...4).contains(times.load(ordering: .relaxed)))
    }

    @Test("suites that are answered otherwise than before are named, better or worse; other rows than before are not compared")
    func drift() {
        func evidence(_ right: Int, of rows: Int) -> Evidence {
            var evidence = Evidence()
            for row in 0..<rows {
                let reply = ShadowPair.Reply(rank: row < right ? 1 : nil, confidence: 0.5, milliseconds: 1)
                evidence.add(ShadowPair(suite: "made", live: reply, candidate: reply, isSame: true, isKept: true))
            }
            return evidence
        }
        func marks(_ right: Int, of rows: Int) -> JSON {
            ["made": .string(String(repeating: "2", count: right) + String(repeating: "0", count: rows - right))]
        }
        #expect(Rollout.drift(from: marks(100, of: 200), to: evidence(100, of: 200)).isEmpty)
        #expect(Rollout.drift(from: marks(100, of: 200), to: evidence(98, of: 200)).isEmpty)
        #expect(Rollout.drift(from: marks(100, of: 200), to: evidence(60, of: 200)) == ["made"])
        #expect(Rollout.drift(from: marks(60, of: 200), to: evidence(100, of: 200)) == ["made"])
        #expect(Rollout.drift(from: marks(60, of: 100), to: evidence(100, of: 200)).isEmpty)
        #expect(Rollout.drift(from: nil, to: evidence(100, of: 200)).isEmpty)
    }

    @Test("one that takes twice as long for the same questions stops there")
    func slow() async throws {
        try await base()
        var settings = try settings()
        settings.shadow = saying { _ in
            let pairs = (0..<300).map { number in
                let took = 4 + Double(number % 7) / 10
                return ShadowEvent.pair(
                    ShadowPair(
                        suite: "made", live: .init(rank: 1, confidence: 0.9, milliseconds: took),
                        candidate: .init(rank: 1, confidence: 0.9, milliseconds: 2 * took), isSame: true, isKept: true))
            }
            return [.ready] + pairs + [.complete]
        }
        try await bench.serving(settings) { rollout in
            _ = try await drop()
            let told = try await bench.wait("a.tkp.zst", for: "rolled-back", "committed")
            #expect(told["reason"]?.string?.contains("time: expected at most 1.7 times") == true, "\(told.serialized)")
            #expect(try stages().isEmpty)
        }
    }

    @Test("the patches of a trainer on this machine are never taken at once")
    func localTrainer() async throws {
        try await base()
        try Disk().writeDurably("local-trainer \(bench.key.publicKey)\n", to: bench.folder.path + "/allowed_signers")
        try await bench.serving(try settings(.immediate)) { rollout in
            _ = try await drop()
            try await bench.wait("a.tkp.zst", for: "committed")
        }
        #expect(try stages() == [5, 20, 50, 100])
    }

    @Test("after the commit the breaker leaves a version that fails for its snapshot")
    func breaker() async throws {
        try await base()
        try await bench.serving(try settings(.immediate)) { rollout in
            let new = try await drop()
            try await bench.wait("a.tkp.zst", for: "committed")
            let version = try #require(rollout.models.live)
            #expect(version.fingerprint == new)
            for _ in 0..<100 { version.tally.answered(ClientKey("x"), took: .milliseconds(1), confidence: nil) }
            for _ in 0..<10 { version.tally.failed(ClientKey("x"), .deadline) }
            let told = try await bench.wait("a.tkp.zst", for: "rolled-back")
            #expect(told["reason"]?.string?.contains("breaker") == true && told["reason"]?.string?.contains("10 of 110") == true, "\(told.serialized)")
            #expect(rollout.models.live?.fingerprint == old.fingerprint)
        }
    }

    @Test("three failures of ten thousand answers trip nothing")
    func noTrip() async throws {
        try await base()
        try await bench.serving(try settings(.immediate)) { rollout in
            let new = try await drop()
            try await bench.wait("a.tkp.zst", for: "committed")
            let version = try #require(rollout.models.live)
            for _ in 0..<10_000 { version.tally.answered(ClientKey("x"), took: .milliseconds(1), confidence: nil) }
            for _ in 0..<3 { version.tally.failed(ClientKey("x"), .deadline) }
            try await Task.sleep(for: .milliseconds(2500))
            #expect(rollout.models.live?.fingerprint == new)
        }
    }

    @Test("the next patch waits while one is tried, and is made good when that is committed")
    func next() async throws {
        try await base()
        let (one, two) = (try old.with(0.01), try old.with(0.02))
        try await bench.serving(try settings(dwell: .milliseconds(150))) { rollout in
            try bench.put(try await bench.patch(old, one, release: "one", epoch: 1), as: "a.tkp.zst")
            _ = try await candidate(of: rollout)
            try bench.put(try await bench.patch(one, two, release: "two", epoch: 2, line: old.fingerprint), as: "b.tkp.zst")
            try await bench.wait("b.tkp.zst", for: "waiting-for-base")
            #expect(rollout.models.candidate?.fingerprint == one.fingerprint)
            try await bench.wait("a.tkp.zst", for: "committed")
            try await bench.wait("b.tkp.zst", for: "committed")
            #expect(rollout.models.live?.fingerprint == two.fingerprint)
        }
    }

    @Test("a signed order beats what is tried")
    func order() async throws {
        try await base()
        try await bench.serving(try settings(dwell: .seconds(30))) { rollout in
            _ = try await drop()
            _ = try await candidate(of: rollout)
            try bench.put(try bench.order(to: old.fingerprint, line: old.fingerprint, epoch: 5), as: "order.tkp.zst")
            try await bench.wait("order.tkp.zst", for: "committed")
            let told = try await bench.wait("a.tkp.zst", for: "superseded", "rolled-back", "refused")
            #expect(rollout.models.candidate == nil && rollout.models.live?.fingerprint == old.fingerprint, "\(told.serialized)")
        }
    }
}
