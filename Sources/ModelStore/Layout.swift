import ModelFormat

/// Where things are in a store:
///
///     STATE/store/lock                  held by whoever changes the store, and by the service while it runs
///     STATE/store/tensors/SHA256        a tensor's bytes in its stored dtype; shared by all versions that have it
///     STATE/store/vocabularies/SHA256   pieces joined by LF
///     STATE/store/versions/FINGERPRINT  the manifest (JSON)
///     STATE/store/current, previous     a fingerprint and LF; replaced by rename, last of all
///
/// Every file but the last two is written once under its final name's temporary, synced, renamed, and never changed.
struct Layout: Sendable {
    let root: String

    init(state: String) {
        root = state + "/store"
    }

    var lock: String { root + "/lock" }
    var tensors: String { root + "/tensors" }
    var vocabularies: String { root + "/vocabularies" }
    var versions: String { root + "/versions" }
    var current: String { root + "/current" }
    var previous: String { root + "/previous" }

    func tensor(_ digest: Digest) -> String { "\(tensors)/\(digest)" }
    func vocabulary(_ digest: Digest) -> String { "\(vocabularies)/\(digest)" }
    func manifest(_ version: Fingerprint) -> String { "\(versions)/\(version)" }
}
