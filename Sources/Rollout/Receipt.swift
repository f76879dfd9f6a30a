import Disk
import ModelFormat
import StrictJSON

/// `FILE.status.json`, beside each dropped file: what became of it, for who dropped it.
struct Receipt: Sendable {
    enum Status: String, Sendable, CaseIterable {
        case incomplete
        case waitingForBase = "waiting-for-base"
        case verifying, merging, prewarming, shadow, canary, held, committed
        case rolledBack = "rolled-back"
        case refused, superseded, duplicate

        /// Nothing follows by itself.
        var isLast: Bool {
            switch self {
            case .committed, .rolledBack, .refused, .superseded, .duplicate: true
            default: false
            }
        }
    }

    static let suffix = ".status.json"

    let file: String
    var status: Status
    var since = WallClock.timestamp()
    var identity: Digest?
    var signer: String?
    var claim: Claim?
    var from: Fingerprint?
    var reason: String?
    var missing: Fingerprint?
    var steps = Steps()
    /// The receipt that an earlier process wrote, for what this one does not know.
    var before: JSON?

    func json(historyHead: String?) -> JSON {
        var (release, to): (String?, Fingerprint?) = (nil, nil)
        switch claim?.kind {
        case .patch(_, let target, let name): (release, to) = (name, target)
        case .order(let target, _): to = target
        case nil: break
        }
        func text(_ value: (some CustomStringConvertible)?) -> JSON? { value.map { .string($0.description) } }
        func known(_ key: String, _ value: JSON?) -> JSON.Member { .init(key, value ?? before?[key] ?? .null) }
        var members: [JSON.Member] = [
            .init("file", .string(file)), known("identity", text(identity)), .init("status", .string(status.rawValue)),
            .init("since", .string(since)), known("release", text(release)), known("from", text(from)),
            known("to", text(to)), known("epoch", claim.map { .integer(Int64($0.epoch)) }), known("signer", text(signer)),
        ]
        if let reason { members.append(.init("reason", .string(reason))) }
        if let missing { members.append(.init("missing", .string("\(missing)"))) }
        members += [
            .init("history_head", text(historyHead) ?? .null), known("steps", steps.all.isEmpty && before != nil ? nil : steps.json),
        ]
        return .object(members)
    }

    /// What a receipt in the folder says; nil where there is none that we could have written.
    static func read(for file: String, in folder: FolderHandle) -> (identity: Digest?, status: Status, json: JSON)? {
        guard let bytes = try? folder.read(file + suffix, first: 1 << 16), let json = try? JSON(parsing: bytes),
            let status = json["status"]?.string.flatMap(Status.init)
        else { return nil }
        return (json["identity"]?.string.flatMap { Digest($0) }, status, json)
    }
}

/// How long each step took, in the order they were taken.
struct Steps: Sendable {
    enum Name: String, Sendable {
        /// From the file's last change to the look that found it whole.
        case settle
        /// The private copy.
        case stage
        /// Signature and manifest, again, on that copy.
        case verify
        case merge
        /// From the file's last change to merged and synced.
        case intake
        case prewarm
        /// The same questions to both versions.
        case shadow
        /// All stages.
        case canary
        case commit
        /// The exchange of the reference.
        case `switch`
        /// From merged to the first answer that a client got from the new version.
        case swap
    }

    private(set) var all: [(name: Name, milliseconds: Double)] = []

    mutating func add(_ name: Name, _ time: Duration) { all.append((name, (time / .microseconds(1)).rounded() / 1000)) }

    mutating func add(_ name: Name, since start: ContinuousClock.Instant) { add(name, .now - start) }

    var json: JSON {
        .array(all.map { ["step": .string($0.name.rawValue), "ms": .real($0.milliseconds)] })
    }
}
