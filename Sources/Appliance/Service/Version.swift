import Disk
import Engine
import Glibc
import ModelFormat
import ModelStore
import Resources
import Synchronization

/// A version that can answer. A request takes one reference and keeps it from its tokens to its answer.
struct Version: Sendable {
    let fillMask: FillMask
    let fingerprint: Fingerprint
    let release: String
    let epoch: Int
    /// When it went live, RFC 3339.
    let since: String
}

/// The name of the model inside the binary.
let embeddedRelease = "tiankong-mini"

extension Version {
    /// The version a store names as current; the embedded one, from the binary itself, where there is no store.
    static func forReading(state: String, pool: WorkerPool) throws -> Version {
        let store = ModelStore(reading: state)
        guard let current = try store.current() else { return try embedded(pool: pool) }
        return try Version(try store.manifest(of: current), in: store, pool: pool)
    }

    init(_ manifest: VersionManifest, in store: ModelStore, pool: WorkerPool) throws {
        self.init(
            fillMask: try FillMask(try store.contents(of: manifest), pool: pool), fingerprint: manifest.fingerprint,
            release: manifest.release, epoch: manifest.epoch, since: Clock.timestamp())
    }

    static func embedded(pool: WorkerPool) throws -> Version {
        try Version(contents: try ModelContents.embedded(), release: embeddedRelease, pool: pool)
    }

    /// A model that is in no store: its fingerprint is taken here.
    init(contents: ModelContents, release: String, pool: WorkerPool) throws {
        var digests: [String: Digest] = [:]
        for tensor in contents.tensors { digests[tensor.name] = tensor.digest() }
        self.init(
            fillMask: try FillMask(contents, pool: pool), fingerprint: contents.fingerprint(digests: digests),
            release: contents.release ?? release, epoch: contents.epoch, since: Clock.timestamp())
    }
}

extension ModelContents {
    static func embedded() throws -> ModelContents {
        try ModelContents(embedded: Resources.model)
    }
}

/// What answers now. Empty while the service warms.
final class Live: Sendable {
    private let state = Mutex<Version?>(nil)

    var version: Version? { state.withLock { $0 } }

    func go(_ version: Version) { state.withLock { $0 = version } }
}

enum Clock {
    /// RFC 3339 in UTC, to the second.
    static func timestamp() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var buffer = [CChar](repeating: 0, count: 32)
        strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}
