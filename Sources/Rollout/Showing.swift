public import Ledger
import ModelFormat
public import ModelStore
public import StrictJSON
import Synchronization

extension Rollout {
    /// Brings what others may read up to date.
    func publish() {
        let trial = machine.trial
        let claim = trial.flatMap { dropped[$0.subject]?.known?.claim }
        let isPolling = isPolling
        let isDamaged = !damaged.isEmpty && (try? store.snapshot()).map { damaged.contains($0.fingerprint) } ?? false
        published.withLock { published in
            published.phase = trial?.phase
            published.subject = trial?.subject
            published.candidate = claim
            published.stage = trial?.stage
            published.share = machine.share
            published.hold = trial?.hold
            published.pin = machine.pin
            published.watched = machine.watched(at: now)?.subject
            published.isPolling = isPolling
            published.snapshotIsDamaged = isDamaged
        }
    }

    /// What is being tried, the snapshot, whether things are to stay: members for `/v1/status`.
    nonisolated public var statusMembers: [JSON.Member] {
        let published = published.withLock { $0 }
        var members = candidateMembers(published)
        if let snapshot = models.snapshot { members.append(.init("snapshot", snapshot.brief)) }
        if published.snapshotIsDamaged { members.append(.init("snapshot_damaged", true)) }
        if published.pin != nil { members.append(.init("pinned", true)) }
        return members
    }

    /// A patch says what it leads to before that is made; an import is known once it takes traffic.
    nonisolated private func candidateMembers(_ published: Published) -> [JSON.Member] {
        var candidate = models.candidate?.brief.members
        if let claim = published.candidate, case .patch(_, let target, let release) = claim.kind {
            candidate = [
                .init("version", .string("\(target)")), .init("release", .string(release)), .init("epoch", .integer(Int64(claim.epoch))),
            ]
        }
        guard let candidate else { return [] }
        return [.init("candidate", .object(candidate + [.init("share", .integer(Int64(published.share)))]))]
    }

    /// `/v1/rollout`
    nonisolated public var rolloutJSON: JSON {
        let published = published.withLock { $0 }
        var members: [JSON.Member] = [.init("state", .string(published.phase?.rawValue ?? "idle"))]
        if let subject = published.subject { members.append(.init("file", .string(subject))) }
        members += candidateMembers(published) + trialMembers(published)
        members += [
            .init("waiting", .array(published.waiting.map { ["file": .string($0.file), "missing": .string($0.missing)] })),
            .init("drop", .string(settings.drop)), .init("watching", .string(published.isPolling ? "polling" : "events")),
            .init("unsigned", .string(settings.allowsUnsigned ? "allow" : "refuse")),
        ]
        return .object(members)
    }

    /// How far it is, who holds it, and what is known of it.
    nonisolated private func trialMembers(_ published: Published) -> [JSON.Member] {
        var members: [JSON.Member] = [.init("share", .integer(Int64(published.share)))]
        if let stage = published.stage { members.append(.init("stage", .integer(Int64(stage + 1)))) }
        if let hold = published.hold { members.append(.init("held", hold.held.json)) }
        if let pin = published.pin { members.append(.init("pinned", pin.json)) }
        if let watched = published.watched { members.append(.init("watched", .string(watched))) }
        if let verdict = published.verdict { members.append(.init("verdict", verdict.json)) }
        if let evidence = published.evidence { members.append(.init("evidence", evidence.json)) }
        return members
    }

    /// `/v1/versions`: newest first.
    public func versionsJSON() -> JSON {
        refreshKept()
        let (live, snapshot) = (models.live?.fingerprint, models.snapshot?.fingerprint)
        let all = kept.values.sorted { ($0.created, $0.epoch) > ($1.created, $1.epoch) }
        return .array(
            all.map { version in
                let role = version.fingerprint == live ? "live"
                    : version.fingerprint == snapshot ? "snapshot" : version.origin == .embedded ? "packaged" : "kept"
                return version.listed(role: damaged.contains(version.fingerprint) ? "damaged" : role)
            })
    }

    /// `/v1/history`
    public func historyJSON(after number: Int, limit: Int) throws(RolloutError) -> JSON {
        let lines = try book.lines(after: number, limit: limit)
        return ["lines": .array(lines.map(\.json)), "head": book.head().map { .string($0.hash) } ?? .null]
    }
}

extension Version {
    public var brief: JSON {
        ["version": .string("\(fingerprint)"), "release": .string(release), "epoch": .integer(Int64(epoch))]
    }
}

extension RolloutMachine.Pin {
    fileprivate var json: JSON { ["by": .string(by), "reason": reason.map { .string($0) } ?? .null] }
}

extension VersionManifest {
    /// As lists of versions have it.
    public func listed(role: String) -> JSON {
        var members: [JSON.Member] = [
            .init("version", .string("\(fingerprint)")), .init("release", .string(release)),
            .init("epoch", .integer(Int64(epoch))), .init("line", .string("\(line)")),
            .init("origin", .string(origin.rawValue)), .init("created", .string(created)), .init("role", .string(role)),
        ]
        if let patch {
            members.append(.init("base", .string("\(patch.base)")))
            if let signer = patch.signer { members.append(.init("signer", .string(signer))) }
        }
        return .object(members)
    }
}

extension Ledger.Line {
    /// The body as it is hashed, beside its members for who reads.
    public var json: JSON {
        [
            "number": .integer(Int64(number)), "at": .string(at), "kind": .string(kind),
            "body": (try? JSON(parsing: Array(body.utf8))) ?? .string(body), "hash": .string(hash),
        ]
    }

    /// Read back from `json`; nil where it is none.
    public init?(_ json: JSON) {
        guard let number = json["number"]?.integer, let at = json["at"]?.string, let kind = json["kind"]?.string,
            let body = json["body"], let hash = json["hash"]?.string
        else { return nil }
        self.init(number: number, at: at, kind: kind, body: body.serialized, hash: hash)
    }
}
