import Glibc
import Synchronization

/// Where the threads of a crew wait for each other between two stages of a pass.
///
/// A stage is tens of microseconds, so waiting is spinning; after a while the core is offered to others, for on a busy
/// machine the thread waited for may be the one that needs it.
final class Barrier: Sendable {
    private let members: Int
    private let arrived = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)

    private static let spins = 4_000

    init(members: Int) {
        self.members = members
    }

    /// Everything written by any member before is seen by every member after.
    func wait() {
        if members == 1 { return }
        let current = generation.load(ordering: .relaxed)
        if arrived.add(1, ordering: .acquiringAndReleasing).newValue == members {
            arrived.store(0, ordering: .relaxed)
            generation.store(current + 1, ordering: .releasing)
            return
        }
        var spins = 0
        while generation.load(ordering: .acquiring) == current {
            spins += 1
            if spins < Self.spins { Kernels.pause() } else { sched_yield() }
        }
    }
}
