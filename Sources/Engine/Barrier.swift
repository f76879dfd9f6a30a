import Glibc
import Synchronization

/// Where the threads of a crew wait for each other between two stages of a pass.
///
/// A stage is tens of microseconds, so waiting is spinning. A core that is offered to others (sched_yield) is gone for
/// 4 ms and more where a thread of the lowest class takes it, so that is done late where each thread has a core of its
/// own, and at once where the thread waited for may be the one that needs it.
final class Barrier: Sendable {
    private let members: Int
    private let arrived = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)

    private let mostSpins: Int
    /// Each member has its core for this pass: nobody that is waited for needs it.
    let coresAreHeld = Atomic(false)

    /// - Parameter ownCores: whether there is a core for each member.
    init(members: Int, ownCores: Bool) {
        self.members = members
        mostSpins = ownCores ? 40_000 : 200
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
            if spins < mostSpins || coresAreHeld.load(ordering: .relaxed) { Kernels.pause() } else { sched_yield() }
        }
    }
}
