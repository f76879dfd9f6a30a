import Disk
import Rollout
import TestSupport
import Testing

@Suite("small decisions of the rollout")
struct PureTests {
    @Test("times that we wrote are read back, and nothing else is")
    func timestamps() {
        for seconds in [0, 1, 951_782_400, 1_793_491_200, 4_102_444_799] { #expect(WallClock.seconds(of: WallClock.timestamp(seconds)) == seconds) }
        #expect(WallClock.timestamp(1_793_491_200) == "2026-11-01T00:00:00Z")
        for text in ["", "2026-11-01", "2026-11-01T00:00:00", "2026-11-01T00:00:00+01:00", "2026-11-01T00:00:0Z", "nonsense of 20 byte"] {
            #expect(WallClock.seconds(of: text) == nil)
        }
    }

    @Test("a version may follow unless it forgot most of what the one before knew, or took too long")
    func prewarm() throws {
        func follow(_ known: Int, _ before: Int, took: Duration = .seconds(1)) throws { try Prewarm(known: known, took: took).check(after: Prewarm(known: before, took: .zero)) }
        for (known, before) in [(20, 20), (10, 20), (10, 19), (3, 6), (0, 5), (0, 0), (20, 0)] { try follow(known, before) }
        for (known, before) in [(9, 20), (2, 6), (0, 6), (3, 7)] {
            #expect(throws: RolloutError.self, "\(known) after \(before)") { try follow(known, before) }
        }
        #expect(throws: RolloutError.self) { try follow(20, 20, took: .seconds(61)) }
    }

    @Test("the quarantine keeps twenty files, the oldest go first")
    func quarantine() throws {
        let folder = try TemporaryFolder()
        let quarantine = Quarantine(folder: folder.path + "/q", disk: Disk())
        for number in 0..<25 {
            try Disk().writeNew("\(number)", to: folder.path + "/staged")
            try quarantine.take(folder.path + "/staged", named: "f\(number).tkp.zst")
        }
        let names = try Disk().list(folder.path + "/q")
        #expect(names.count == 20)
        #expect(names.map { String($0.split(separator: "-", maxSplits: 1)[1]) } == (5..<25).map { "f\($0).tkp.zst" })
        #expect(try Disk().list(folder.path) == ["q"])
    }
}
