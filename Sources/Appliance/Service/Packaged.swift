import Engine
import ModelFormat
import ModelStore
import Resources
import Rollout

/// The name of the model inside the binary.
let embeddedRelease = "tiankong-mini"

extension ModelContents {
    static func embedded() throws(ModelFormatError) -> ModelContents {
        try ModelContents(embedded: Resources.model)
    }
}

extension Version {
    /// The version a store names as current; the embedded one, from the binary itself, where there is no store.
    static func forReading(state: String, pool: WorkerPool) throws -> Version {
        let store = ModelStore(reading: state)
        guard let current = try store.current() else {
            return try Version(contents: try ModelContents.embedded(), release: embeddedRelease, pool: pool)
        }
        return try Version(try store.manifest(of: current), in: store, pool: pool)
    }
}
