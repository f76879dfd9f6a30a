import StrictJSON

/// A shadow's events as lines between two processes. Times are in microseconds, shares in millionths: what is compared
/// is a few digits long.
extension ShadowEvent {
    public var line: String {
        switch self {
        case .ready: return #"{"event":"ready"}"#
        case .complete: return #"{"event":"complete"}"#
        case .broke(let reason): return (["event": "broke", "reason": .string(reason)] as JSON).serialized
        case .unavailable(let reason): return (["event": "unavailable", "reason": .string(reason)] as JSON).serialized
        case .pair(let pair):
            return (["suite": pair.suite.map { .string($0) } ?? .null, "live": pair.live.json, "candidate": pair.candidate.json,
                "same": .bool(pair.isSame), "kept": .bool(pair.isKept), "whole": .bool(pair.isWhole)] as JSON).serialized
        }
    }

    /// nil for a line that is none.
    public init?(line: some Collection<UInt8>) {
        guard let json = try? JSON(parsing: Array(line)) else { return nil }
        switch json["event"]?.string {
        case "ready": self = .ready
        case "complete": self = .complete
        case "broke": self = .broke(json["reason"]?.string ?? "")
        case "unavailable": self = .unavailable(json["reason"]?.string ?? "")
        case nil:
            guard let live = ShadowPair.Reply(json["live"]), let candidate = ShadowPair.Reply(json["candidate"]),
                let isSame = json["same"]?.bool, let isKept = json["kept"]?.bool, let isWhole = json["whole"]?.bool
            else { return nil }
            self = .pair(
                ShadowPair(
                    suite: json["suite"]?.string, live: live, candidate: candidate, isSame: isSame, isKept: isKept, isWhole: isWhole))
        default: return nil
        }
    }
}

extension ShadowPair.Reply {
    fileprivate var json: JSON {
        [
            "rank": rank.map { .integer(Int64($0)) } ?? .null, "millionths": .integer(confidence.isFinite ? Int64((confidence * 1e6).rounded()) : 0),
            "microseconds": .integer(Int64((milliseconds * 1000).rounded())), "failed": .bool(hasFailed),
        ]
    }

    fileprivate init?(_ json: JSON?) {
        guard let json, let millionths = json["millionths"]?.integer, let microseconds = json["microseconds"]?.integer,
            let hasFailed = json["failed"]?.bool
        else { return nil }
        self.init(
            rank: json["rank"]?.integer.map { Int($0) }, confidence: Double(millionths) / 1e6,
            milliseconds: Double(microseconds) / 1000, hasFailed: hasFailed)
    }
}
