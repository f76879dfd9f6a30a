import Explain
public import Ledger
import ModelFormat
public import ModelStore
public import StrictJSON

/// What this appliance found out about its versions: kept in the ledger, beside what was signed.
extension Rollout {
    private static let mostEntries = 20

    func addVerdict(_ verdict: Verdict, at phase: String, to version: Fingerprint) {
        metrics.change { $0.verdicts[verdict.word, default: 0] += 1 }
        events.post(.verdict, verdict.word, ["version": .string("\(version)"), "phase": .string(phase), "verdict": verdict.json])
        add(
            ["at": .string(WallClock.timestamp()), "phase": .string(phase), "verdict": .string(verdict.word),
                "reasons": .array(verdict.findings.map { .string($0.message.en) })],
            to: "verdicts", of: version)
    }

    func addRollback(of version: Fingerprint, _ reason: String) {
        add(["at": .string(WallClock.timestamp()), "reason": .string(reason)], to: "rolled_back", of: version)
    }

    /// Figures of both in the shadow.
    func keepFigures(of version: Version, _ evidence: Evidence, against live: Version) {
        book.changeDossier(of: "\(version.fingerprint)") { members in
            members.removeAll { ["measured", "figures", "latency_ms", "marks"].contains($0.key) }
            members += [
                .init("measured", .string(WallClock.timestamp())), .init("figures", evidence.figures(against: live.release)),
                .init("latency_ms", evidence.latencyJSON), .init("marks", evidence.marksJSON),
            ]
        }
    }

    /// - Parameter thinning: what becomes of the entries before it.
    func add(_ entry: JSON, to key: String, of version: Fingerprint, thinning: (JSON) -> JSON = { $0 }) {
        book.changeDossier(of: "\(version)") { members in
            let before = (members.first { $0.key == key }?.value.elements ?? []).map(thinning)
            members.removeAll { $0.key == key }
            members.append(.init(key, .array(Array((before + [entry]).suffix(Self.mostEntries)))))
        }
    }

    /// `/v1/versions/{v}/dossier`: what was signed, then what was found out here.
    ///
    /// - Parameter name: a release, a fingerprint or its beginning.
    public func dossierJSON(of name: String) throws(RolloutError) -> JSON {
        let manifest: VersionManifest
        do { manifest = try store.manifest(named: name) } catch { throw .store(error) }
        let lines = book.changesOfLive()
        return Dossier(manifest, own: book.dossier(of: "\(manifest.fingerprint)"), history: lines).json
    }
}

/// A version's health record, put together from its manifest (which holds what was signed), the ledger and the history.
public struct Dossier: Sendable {
    public let json: JSON

    public init(_ manifest: VersionManifest, own: JSON?, history: [Ledger.Line]) {
        var members: [JSON.Member] = [
            .init("version", .string("\(manifest.fingerprint)")), .init("release", .string(manifest.release)),
            .init("epoch", .integer(Int64(manifest.epoch))), .init("created", .string(manifest.created)),
            .init("origin", .string(manifest.origin.rawValue)),
            .init("base", manifest.patch.map { .string("\($0.base)") } ?? .null),
            .init("signer", manifest.patch?.signer.map { .string($0) } ?? .null),
        ]
        let signed = manifest.patch?.dossier?.members ?? []
        // What was signed stands first; what was measured here beside it, never over it.
        for key in ["trained", "by", "data", "limits"] {
            if let value = signed.first(where: { $0.key == key })?.value { members.append(.init(key, value)) }
        }
        let claimed = signed.filter { ["figures", "latency_ms"].contains($0.key) }
        if !claimed.isEmpty { members.append(.init("claimed", .object(claimed))) }
        members += (own?.members ?? []).filter { $0.key != "marks" }.map { member in
            guard member.key == "suites", let runs = member.value.elements else { return member }
            return .init("suites", .array(runs.map { .object(($0.members ?? []).filter { $0.key != "marks" }) }))
        }
        members.append(.init("live", Self.periods(manifest.fingerprint, history)))
        json = .object(members)
    }

    /// Of lines that say what answers.
    public static let kinds = ["started", "recovered", "committed", "imported", "rolled-back"]

    /// From when to when it answered, as the history has it.
    private static func periods(_ version: Fingerprint, _ history: [Ledger.Line]) -> JSON {
        var periods: [(from: String, to: String?)] = []
        for line in history where kinds.contains(line.kind) {
            let body = try? JSON(parsing: Array(line.body.utf8))
            let now = body?["to"]?.string ?? body?["version"]?.string
            let isLive = periods.last.map { $0.to == nil } ?? false
            if now == "\(version)" {
                if !isLive { periods.append((line.at, nil)) }
            } else if isLive {
                periods[periods.count - 1].to = line.at
            }
        }
        return .array(periods.map { ["from": .string($0.from), "to": $0.to.map { .string($0) } ?? .null] })
    }
}
