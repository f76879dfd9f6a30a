package import ModelFormat
import Synchronization

/// What answers: one reference under a mutex. Exchanging it is all there is to a swap and to a rollback; requests in
/// flight keep the version they began with, and it is freed after its last.
///
/// While a candidate is tried it answers a share of the clients, the same ones as long as the share does not fall
/// (`Share`).
///
/// The snapshot is the version before, mapped and ready. Each order to go back raises `generation`, so that an intake
/// which was under way can tell that somebody decided otherwise meanwhile (`promote`).
public final class ModelSwitch: Sendable {
    private struct State {
        var live: Version?
        var snapshot: Version?
        var candidate: Candidate?
        var generation = 0
    }
    private struct Candidate {
        let version: Version
        var share: Share
    }
    private let state = Mutex(State())
    /// Nobody can work out beforehand which version they will get.
    private let salt = String(UInt64.random(in: .min ... .max), radix: 36)

    public init() {}

    /// What answers where no candidate is tried; nil while the service warms.
    public var live: Version? { state.withLock { $0.live } }
    /// What is tried, where it takes traffic.
    public var candidate: Version? { state.withLock { $0.candidate?.version } }

    /// The version for a client's question; nil while the service warms.
    public func version(for client: ClientKey) -> (version: Version, isCandidate: Bool)? {
        state.withLock { state in
            if let candidate = state.candidate, candidate.share.contains(client) { return (candidate.version, true) }
            return state.live.map { ($0, false) }
        }
    }

    /// The candidate takes a share; it only grows.
    ///
    /// - Returns: false, and nothing happens, where an order to go back came after `generation` was read.
    package func share(_ version: Version, percent: Int, unlessOrderedSince generation: Int) -> Bool {
        state.withLock { state in
            guard state.generation == generation else { return false }
            let before = state.candidate.flatMap { $0.version.fingerprint == version.fingerprint ? $0.share.percent : nil } ?? 0
            state.candidate = Candidate(
                version: version, share: Share(percent: max(before, percent), salt: version.fingerprint.description + salt))
            return true
        }
    }

    /// The live version answers everybody again.
    ///
    /// - Parameter byOrder: whoever tries it is to learn of it (`generation`).
    /// - Returns: what was tried.
    @discardableResult
    package func dropCandidate(byOrder: Bool = false) -> Version? {
        state.withLock { state in
            defer { state.candidate = nil }
            if byOrder { state.generation += 1 }
            return state.candidate?.version
        }
    }
    public var snapshot: Version? { state.withLock { $0.snapshot } }
    package var generation: Int { state.withLock { $0.generation } }

    /// At start.
    package func begin(live: Version, snapshot: Version?) {
        state.withLock { ($0.live, $0.snapshot) = (live, snapshot) }
    }

    /// The new version goes live, what was live becomes the snapshot.
    ///
    /// - Returns: false, and nothing happens, where an order to go back came after `generation` was read.
    package func promote(_ version: Version, unlessOrderedSince generation: Int) -> Bool {
        state.withLock { state in
            guard state.generation == generation else { return false }
            if state.live?.fingerprint != version.fingerprint { state.snapshot = state.live }
            (state.live, state.candidate) = (version, nil)
            return true
        }
    }

    /// The snapshot becomes live again, and there is none any more: going back twice must not bring the bad one back.
    ///
    /// - Returns: what was live and what is now; nil where there is no snapshot.
    package func goBack() -> (from: Version, to: Version)? {
        state.withLock { state in
            guard let from = state.live, let to = state.snapshot else { return nil }
            (state.live, state.snapshot, state.candidate) = (to, nil, nil)
            state.generation += 1
            return (from, to)
        }
    }

    /// Any other version goes live by order.
    ///
    /// - Returns: what was live.
    @discardableResult
    package func go(to version: Version, snapshot: Version?) -> Version? {
        state.withLock { state in
            let before = state.live
            defer { state.generation += 1 }
            (state.live, state.snapshot, state.candidate) = (version, snapshot, nil)
            return before
        }
    }

    /// The snapshot was made ready after the start; nothing happens where others decided meanwhile.
    package func ready(_ snapshot: Version, behind live: Fingerprint, unlessOrderedSince generation: Int) {
        state.withLock { state in
            guard state.generation == generation, state.live?.fingerprint == live, state.snapshot == nil else { return }
            state.snapshot = snapshot
        }
    }

    /// The same version, opened anew, in its place.
    package func renew(_ version: Version) {
        state.withLock { state in
            if state.live?.fingerprint == version.fingerprint { state.live = version }
            if state.snapshot?.fingerprint == version.fingerprint { state.snapshot = version }
            if let candidate = state.candidate, candidate.version.fingerprint == version.fingerprint {
                state.candidate = Candidate(version: version, share: candidate.share)
            }
        }
    }

    /// What is on disk cannot be trusted any more.
    package func dropSnapshot() { state.withLock { $0.snapshot = nil } }
}
