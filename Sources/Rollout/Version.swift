public import Engine
public import ModelFormat
public import ModelStore
import Synchronization

/// A version that can answer. A request takes one reference and keeps it from its tokens to its answer.
public struct Version: Sendable {
    public let fillMask: FillMask
    public let fingerprint: Fingerprint
    public let release: String
    public let epoch: Int
    public let line: Fingerprint
    /// When it was made ready here, RFC 3339.
    public let since: String
    /// What it did for clients.
    public let tally: Tally
    private let first = FirstAnswer()

    public init(
        fillMask: FillMask, fingerprint: Fingerprint, release: String, epoch: Int, line: Fingerprint,
        since: String = WallClock.timestamp(), tally: Tally = Tally()
    ) {
        self.tally = tally
        self.fillMask = fillMask
        self.fingerprint = fingerprint
        self.release = release
        self.epoch = epoch
        self.line = line
        self.since = since
    }

    /// From a store, ready by mapping.
    ///
    /// - Parameter other: a version whose tokenizer is shared where both have the same.
    public init(
        _ manifest: VersionManifest, in store: ModelStore, pool: WorkerPool, sharing other: Version? = nil
    ) throws(RolloutError) {
        let fillMask: FillMask
        do {
            let contents = try store.contents(of: manifest)
            let packed = try PackedVersion(manifest, contents, in: store).weights(isa: pool.isa)
            fillMask = try FillMask(contents, packed: packed, pool: pool, sharing: other?.fillMask)
        } catch let error as StoreError {
            throw .store(error)
        } catch let error as EngineError {
            throw .engine(error)
        } catch { preconditionFailure("nothing else is thrown above: \(error)") }
        self.init(
            fillMask: fillMask, fingerprint: manifest.fingerprint, release: manifest.release, epoch: manifest.epoch,
            line: manifest.line,
            // The same version opened anew goes on counting: whoever watches it must not look at numbers that stand still.
            tally: other.flatMap { $0.fingerprint == manifest.fingerprint ? $0.tally : nil } ?? Tally())
    }

    /// A model that is in no store: its fingerprint is taken here.
    public init(contents: ModelContents, release: String, pool: WorkerPool) throws(RolloutError) {
        var digests: [String: Digest] = [:]
        for tensor in contents.tensors { digests[tensor.name] = tensor.digest() }
        let fingerprint = contents.fingerprint(digests: digests)
        let fillMask: FillMask
        do { fillMask = try FillMask(contents, pool: pool) } catch { throw .engine(error) }
        self.init(
            fillMask: fillMask, fingerprint: fingerprint, release: contents.release ?? release, epoch: contents.epoch,
            line: contents.line ?? fingerprint)
    }

    /// A client's question was answered by this version.
    public func didAnswer() { first.happened() }

    /// `body` runs once, at the first answer to a client from now on.
    func atFirstAnswer(_ body: @escaping @Sendable () -> Void) { first.expect(body) }
}

private final class FirstAnswer: Sendable {
    private let isExpected = Atomic(false)
    private let body = Mutex<(@Sendable () -> Void)?>(nil)

    func expect(_ body: @escaping @Sendable () -> Void) {
        self.body.withLock { $0 = body }
        isExpected.store(true, ordering: .releasing)
    }

    func happened() {
        guard isExpected.load(ordering: .acquiring), isExpected.exchange(false, ordering: .acquiringAndReleasing) else { return }
        body.withLock { $0.take() }?()
    }
}
