import CSyscalls
import Synchronization

/// Where the threads of a crew run, so that no two share a core while another is free of their kind.
///
/// The scheduler puts a woken thread where it finds room at that moment; when a core was busy with something short, both
/// threads of a pass end up on the other one and stay there for tens of milliseconds, taking turns at every barrier
/// (seen with `perf sched` while a merge ran: 15 ms became 37). So at each layer they look, and the one of higher rank
/// moves.
final class Places: Sendable {
    /// Atomics are not copyable, and so do not fit an array.
    private final class Place: Sendable {
        let cpu = Atomic(-1)
        /// Only its own thread asks and says.
        let isHeld = Atomic(false)
    }

    private let places: [Place]
    /// Whether there is a core for each of several threads.
    let ownCores: Bool

    init(threads: Int) {
        places = (0..<threads).map { _ in Place() }
        ownCores = threads > 1 && threads <= Int(tk_cpus())
    }

    /// Called by each thread before a pass. While there is work in the background the threads stay where they are put:
    /// there is always a core that looks busy, and the scheduler's idea of evening that out costs a question 20 ms.
    func hold(rank: Int, _ isWanted: Bool) {
        guard ownCores, places[rank].isHeld.load(ordering: .relaxed) != isWanted else { return }
        if isWanted { tk_hold_core(Int32(rank)) } else { tk_free_core() }
        places[rank].isHeld.store(isWanted, ordering: .relaxed)
    }

    /// Called by each thread between two layers.
    func check(rank: Int) {
        guard ownCores else { return }
        let mine = Int(tk_cpu())
        places[rank].cpu.store(mine, ordering: .relaxed)
        guard rank > 0, (0..<rank).contains(where: { places[$0].cpu.load(ordering: .relaxed) == mine }) else { return }
        move(rank)
    }

    private func move(_ rank: Int) {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: places.count) { taken in
            for (index, place) in places.enumerated() {
                taken.initializeElement(at: index, to: index == rank ? -1 : Int32(place.cpu.load(ordering: .relaxed)))
            }
            tk_leave(taken.baseAddress, Int32(taken.count))
        }
        places[rank].cpu.store(Int(tk_cpu()), ordering: .relaxed)
    }
}
