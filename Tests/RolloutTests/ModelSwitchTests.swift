import Engine
import ModelFormat
import Rollout
import Synchronization
import TestSupport
import Testing

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

@Suite("the switch")
struct ModelSwitchTests {
    private let pool: WorkerPool
    private let one: Version, two: Version, three: Version

    init() throws {
        let pool = try tinyPool.get()
        self.pool = pool
        func version(_ name: String, epoch: Int) throws -> Version {
            let contents = try tiny(name)
            return Version(
                fillMask: try FillMask(contents, pool: pool, cacheBytes: 0), fingerprint: contents.fingerprint, release: name, epoch: epoch,
                line: contents.fingerprint)
        }
        one = try version("tiny-tied", epoch: 1)
        two = try version("tiny-sharded", epoch: 2)
        three = try version("tiny-bf16-relu", epoch: 3)
    }

    @Test("while the service warms nothing is live and there is nothing to go back to")
    func empty() {
        let models = ModelSwitch()
        #expect(models.live == nil && models.snapshot == nil)
        #expect(models.goBack() == nil)
    }

    @Test("what was live becomes the snapshot")
    func promote() {
        let models = ModelSwitch()
        models.begin(live: one, snapshot: nil)
        #expect(models.promote(two, unlessOrderedSince: models.generation))
        #expect(models.live?.fingerprint == two.fingerprint && models.snapshot?.fingerprint == one.fingerprint)
        #expect(models.promote(three, unlessOrderedSince: models.generation))
        #expect(models.live?.fingerprint == three.fingerprint && models.snapshot?.fingerprint == two.fingerprint)
    }

    @Test("the live version promoted once more keeps its snapshot")
    func promoteSame() {
        let models = ModelSwitch()
        models.begin(live: two, snapshot: one)
        #expect(models.promote(two, unlessOrderedSince: models.generation))
        #expect(models.snapshot?.fingerprint == one.fingerprint)
    }

    @Test("an order to go back between reading the generation and the promotion wins")
    func orderWins() {
        let models = ModelSwitch()
        models.begin(live: two, snapshot: one)
        let generation = models.generation
        #expect(models.goBack()?.to.fingerprint == one.fingerprint)
        #expect(!models.promote(three, unlessOrderedSince: generation))
        #expect(models.live?.fingerprint == one.fingerprint && models.snapshot == nil)
        #expect(models.promote(three, unlessOrderedSince: models.generation))
        #expect(models.live?.fingerprint == three.fingerprint)
    }

    @Test("an order to any other version wins as well")
    func otherOrderWins() {
        let models = ModelSwitch()
        models.begin(live: one, snapshot: nil)
        let generation = models.generation
        models.go(to: two, snapshot: nil)
        #expect(!models.promote(three, unlessOrderedSince: generation))
        #expect(models.live?.fingerprint == two.fingerprint)
    }

    @Test("going back twice is refused: it must not bring the bad one back")
    func twice() {
        let models = ModelSwitch()
        models.begin(live: two, snapshot: one)
        #expect(models.goBack()?.from.fingerprint == two.fingerprint)
        #expect(models.goBack() == nil)
        #expect(models.live?.fingerprint == one.fingerprint)
    }

    @Test("a snapshot that comes ready late is taken only where nobody decided meanwhile")
    func ready() {
        let models = ModelSwitch()
        models.begin(live: two, snapshot: nil)
        models.ready(one, behind: three.fingerprint, unlessOrderedSince: models.generation)
        #expect(models.snapshot == nil)
        models.ready(one, behind: two.fingerprint, unlessOrderedSince: models.generation)
        #expect(models.snapshot?.fingerprint == one.fingerprint)
        models.ready(three, behind: two.fingerprint, unlessOrderedSince: models.generation)
        #expect(models.snapshot?.fingerprint == one.fingerprint)
        models.dropSnapshot()
        let generation = models.generation
        models.go(to: two, snapshot: nil)
        models.ready(one, behind: two.fingerprint, unlessOrderedSince: generation)
        #expect(models.snapshot == nil)
        #expect(models.goBack() == nil)
    }

    @Test("readers beside a thousand exchanges always hold one whole version, and get its answer")
    func readers() async throws {
        let models = ModelSwitch()
        models.begin(live: one, snapshot: nil)
        let versions = [one, two, three]
        var expected: [String: [Float]] = [:]
        for version in versions {
            expected[version.release] = try await version.fillMask.answer(Question("[MASK]")).blanks[0].candidates.map(\.score)
        }
        let answers = expected
        let isOver = Flag()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    var read = 0
                    while !isOver.isSet || read < 20 {
                        guard let version = models.live else { continue }
                        #expect(versions.contains { $0.fingerprint == version.fingerprint && $0.release == version.release && $0.epoch == version.epoch })
                        let scores = try await version.fillMask.answer(Question("[MASK]")).blanks[0].candidates.map(\.score)
                        #expect(scores == answers[version.release])
                        read += 1
                    }
                    return read
                }
            }
            for round in 0..<1000 {
                if round % 5 == 4 { _ = models.goBack() } else {
                    _ = models.promote(versions[round % 3], unlessOrderedSince: models.generation)
                }
                if round % 20 == 0 { try await Task.sleep(for: .milliseconds(1)) }
            }
            isOver.set()
            for try await read in group { #expect(read >= 20) }
        }
    }
}
