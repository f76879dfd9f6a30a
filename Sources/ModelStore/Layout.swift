import ModelFormat

/// Where things are in a store:
///
///     STATE/store/lock                  held by whoever changes the store, and by the service while it runs
///     STATE/store/tensors/SHA256        a tensor's bytes in its stored dtype; shared by all versions that have it
///     STATE/store/vocabularies/SHA256   pieces joined by LF
///     STATE/store/versions/FINGERPRINT  the manifest (JSON)
///     STATE/store/rows/SHA256           rows of a tensor that differ from another one's (PatchFormat.RowPayload)
///     STATE/store/packed/SHA256.FORM    a tensor as the engine computes with it; can be made again from it
///     STATE/store/lines/FINGERPRINT     the line's epoch floor and LF; only ever raised
///     STATE/store/current, previous     a fingerprint and LF; replaced by rename, last of all
///     STATE/store/attempts              a fingerprint, how often it was started without having proved itself, and LF
///     STATE/store/pin                   who wants the live version to stay, and why: a JSON object
///
/// Every file but the last five is written once under its final name's temporary, synced, renamed, and never changed.
struct Layout: Sendable {
    let root: String

    init(state: String) {
        root = state + "/store"
    }

    var rows: String { root + "/rows" }
    /// Made when it is needed: a store without it is whole.
    var packedFolder: String { root + "/packed" }
    var lines: String { root + "/lines" }
    var attempts: String { root + "/attempts" }
    /// Where whole files are written once.
    var folders: [String] { [root, tensors, rows, vocabularies, versions, lines] }
    var pin: String { root + "/pin" }
    var lock: String { root + "/lock" }
    var tensors: String { root + "/tensors" }
    var vocabularies: String { root + "/vocabularies" }
    var versions: String { root + "/versions" }
    var current: String { root + "/current" }
    var previous: String { root + "/previous" }

    func tensor(_ digest: Digest) -> String { "\(tensors)/\(digest)" }
    func rows(_ digest: Digest) -> String { "\(rows)/\(digest)" }
    func packed(_ tensor: Digest, _ form: String) -> String { "\(packedFolder)/\(tensor).\(form)" }
    func floor(_ line: Fingerprint) -> String { "\(lines)/\(line)" }
    func vocabulary(_ digest: Digest) -> String { "\(vocabularies)/\(digest)" }
    func manifest(_ version: Fingerprint) -> String { "\(versions)/\(version)" }
}
