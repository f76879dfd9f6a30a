import Synchronization

/// How many works in the background a pool is courteous to.
final class Courtesies: Sendable {
    let count = Atomic(0)
}

/// One of them (`WorkerPool.courtesy`).
public final class Courtesy: Sendable {
    private let all: Courtesies
    private let isOver = Atomic(false)

    init(_ all: Courtesies) {
        self.all = all
        all.count.add(1, ordering: .relaxed)
    }

    deinit { end() }

    public func end() {
        if !isOver.exchange(true, ordering: .relaxed) { all.count.subtract(1, ordering: .relaxed) }
    }
}
