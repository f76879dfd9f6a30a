import Disk
import Engine
import ModelFormat
import Rollout
import TestSupport
import Testing

@Suite("the crash matrix")
struct CrashTests {
    private static let packaged: @Sendable () throws(ModelFormatError) -> ModelContents = { () throws(ModelFormatError) in
        try ModelContents(huggingFace: "\(Places.fixtures)/tiny-capitals")
    }
    private let pool: WorkerPool
    private let folder: TemporaryFolder
    private let first: CrashTrial

    init() async throws {
        pool = try tinyPool.get()
        folder = try TemporaryFolder()
        first = CrashTrial(folder: folder.path + "/first")
        let old = try tiny()
        try await first.prepare(old, try old.with(0.5))
    }

    private func live(_ trial: CrashTrial, _ disk: Disk = Disk()) async throws -> Bool {
        let outcome: Result<Bool, any Error>
        do { outcome = .success(try await trial.live(disk, pool: pool, packaged: Self.packaged)) } catch { outcome = .failure(error) }
        // A thread in the background may let go of the store a moment later.
        for _ in 0..<1000 {
            do {
                _ = try FileLock(trial.folder + "/state/store/lock")
                break
            } catch DiskError.locked { try await Task.sleep(for: .milliseconds(2)) } catch { break }
        }
        return try outcome.get()
    }

    private func copy(_ name: String) throws -> CrashTrial {
        try first.copy(to: "\(folder.path)/\(name)")
        return CrashTrial(folder: "\(folder.path)/\(name)")
    }

    @Test("a healthy life takes the patch in, goes back, and leaves nothing over; a second one changes nothing")
    func healthy() async throws {
        let trial = try copy("healthy")
        #expect(try await live(trial))
        try trial.checkEnd()
        _ = try await live(trial)
        try trial.checkEnd()
    }

    @Test("a disk that fails at step n, for every n: old or new, nothing damaged, and the next life mends it", arguments: [
        FaultPlan.Fault.lasting(5), .lasting(28), .once(5),
    ])
    func everyStep(fault: FaultPlan.Fault) async throws {
        let counting = FaultPlan(failingAt: nil)
        #expect(try await live(try copy("counting-\(fault)"), Disk(faults: counting)))
        let steps = counting.steps
        #expect(steps > 40)
        let findings = await withTaskGroup(of: [String].self) { group in
            for lane in 0..<2 {
                group.addTask {
                    var findings: [String] = []
                    for step in stride(from: lane, to: steps, by: 2) {
                        do {
                            let trial = try copy("\(fault)-\(step)")
                            do { _ = try await live(trial, Disk(faults: FaultPlan(failingAt: step, fault))) }
                            try trial.check()
                            _ = try await live(trial)
                            try trial.checkEnd()
                            try Disk().remove(trial.folder)
                        } catch { findings.append("step \(step): \(error)") }
                    }
                    return findings
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(findings == [])
    }

    @Test("the look afterwards finds a flipped byte, a file of nobody, a leftover, a wrong pointer and a broken history", arguments: [
        "flipped", "nobody", "leftover", "pointer", "gone", "history",
    ])
    func canFail(spoiled: String) async throws {
        let trial = try copy("spoiled-\(spoiled)")
        #expect(try await live(trial))
        try trial.check()
        let disk = Disk(), store = trial.folder + "/state/store"
        let tensor = try #require(try disk.list(store + "/tensors").first)
        switch spoiled {
        case "flipped":
            var bytes = try disk.read(store + "/tensors/" + tensor, atMost: 1 << 20)
            bytes[bytes.count / 2] ^= 1
            try disk.writeDurably(bytes, to: store + "/tensors/" + tensor)
        case "nobody": try disk.writeNew("x", to: store + "/tensors/" + String(repeating: "0", count: 64))
        case "leftover": try disk.writeNew("x", to: trial.folder + "/state/x.partial")
        case "pointer": try disk.writeDurably("nonsense\n", to: store + "/current")
        case "gone": try disk.remove(store + "/tensors/" + tensor)
        default:
            try disk.writeDurably("SQLite format 3\u{0}", to: trial.folder + "/state/ledger.sqlite")
            try disk.remove(trial.folder + "/state/ledger.sqlite-wal")
        }
        // A file of nobody is removed by the opening itself: that is the mend, and no finding.
        if spoiled == "nobody" { try trial.check() } else { #expect(throws: (any Error).self) { try trial.check() } }
    }

    @Test("the look at the end finds a version that was not gone back from")
    func notBack() async throws {
        let trial = try copy("not-back")
        #expect(throws: (any Error).self) { try trial.checkEnd() }
    }
}
