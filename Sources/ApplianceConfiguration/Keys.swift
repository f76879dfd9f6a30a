/// Every key of the configuration: its name, what a good value looks like, and where it goes. The file, the
/// environment and the documentation all go by this one table.
struct Key: Sendable {
    let path: String
    let expected: String
    let set: @Sendable (inout Settings, Value) -> Outcome

    enum Outcome {
        case taken
        case bad
        case notBuilt(available: String)
    }

    /// `TIANKONG_MODEL_FOLD_CASE` for `model.fold_case`.
    var variable: String { "TIANKONG_" + path.uppercased().replacing(".", with: "_") }
}

/// A value as the file or the environment gave it.
enum Value: Sendable {
    case null
    case word(String)
    case list([String])

    var found: String {
        switch self {
        case .null: "nothing"
        case .word(let word): "\"\(word)\""
        case .list(let words): "[" + words.joined(separator: ", ") + "]"
        }
    }
}

extension Key {
    private static func text(_ path: String, _ target: any WritableKeyPath<Settings, String> & Sendable) -> Key {
        Key(path: path, expected: "a text") { settings, value in
            guard case .word(let word) = value, !word.isEmpty else { return .bad }
            settings[keyPath: target] = word
            return .taken
        }
    }

    private static func optionalText(_ path: String, _ target: any WritableKeyPath<Settings, String?> & Sendable) -> Key {
        Key(path: path, expected: "a text or null") { settings, value in
            switch value {
            case .null: settings[keyPath: target] = nil
            case .word(let word) where !word.isEmpty: settings[keyPath: target] = word
            default: return .bad
            }
            return .taken
        }
    }

    private static func count(
        _ path: String, _ range: ClosedRange<Int>, _ target: any WritableKeyPath<Settings, Int> & Sendable
    ) -> Key {
        Key(path: path, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)") { settings, value in
            guard case .word(let word) = value, let count = Int(word), range.contains(count) else { return .bad }
            settings[keyPath: target] = count
            return .taken
        }
    }

    private static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ path: String, _ target: any WritableKeyPath<Settings, Choice> & Sendable, notYet: [Choice] = []
    ) -> Key where Choice: Equatable {
        let words = Choice.allCases.map(\.rawValue)
        let built = Choice.allCases.filter { !notYet.contains($0) }.map(\.rawValue).joined(separator: ", ")
        return Key(path: path, expected: "one of " + words.joined(separator: ", ")) { settings, value in
            guard case .word(let word) = value, let choice = Choice(rawValue: word) else { return .bad }
            if notYet.contains(choice) { return .notBuilt(available: built) }
            settings[keyPath: target] = choice
            return .taken
        }
    }

    private static func duration(
        _ path: String, _ range: ClosedRange<Duration>, _ target: any WritableKeyPath<Settings, Duration> & Sendable
    ) -> Key {
        Key(path: path, expected: "a duration such as 500ms, 3s, 5m, 1h or 7d") { settings, value in
            guard case .word(let word) = value, let duration = Duration(written: word), range.contains(duration) else {
                return .bad
            }
            settings[keyPath: target] = duration
            return .taken
        }
    }

    private static func list<Item: Sendable>(
        _ path: String, _ expected: String, _ target: any WritableKeyPath<Settings, [Item]> & Sendable,
        _ read: @escaping @Sendable (String) -> Item?
    ) -> Key {
        Key(path: path, expected: "a list of \(expected)") { settings, value in
            let words: [String]
            switch value {
            case .null: words = []
            case .word(let word): words = [word]
            case .list(let list): words = list
            }
            let items = words.compactMap(read)
            guard items.count == words.count else { return .bad }
            settings[keyPath: target] = items
            return .taken
        }
    }

    static let all: [Key] = [
        optionalText("state", \.state),
        optionalText("socket", \.socket),
        list("listen", "addresses such as 127.0.0.1:8470 or [::1]:8470", \.listen) { Endpoint($0) },
        optionalText("drop.path", \.drop.path),
        duration("drop.settle", .milliseconds(1)...(.seconds(3600)), \.drop.settle),
        text("suites", \.suites),
        choice("model.precision", \.model.precision),
        Key(path: "model.threads", expected: "auto or a whole number from 1 to 64") { settings, value in
            guard case .word(let word) = value else { return .bad }
            let count = Int(word)
            guard word == "auto" || (1...64).contains(count ?? 0) else { return .bad }
            settings.model.threads = count
            return .taken
        },
        choice("model.fold_case", \.model.foldCase),
        text("trust.allowed_signers", \.trust.allowedSigners),
        choice("trust.unsigned", \.trust.unsigned),
        count("trust.epoch_jump", 1...1_000_000_000, \.trust.epochJump),
        choice("rollout.policy", \.rollout.policy),
        Key(path: "rollout.stages", expected: "a rising list of per cents that ends with 100") { settings, value in
            guard case .list(let words) = value else { return .bad }
            let stages = words.compactMap { Int($0) }
            let rises = zip(stages, stages.dropFirst()).allSatisfy { $0 < $1 }
            guard stages.count == words.count, rises, stages.first ?? 0 > 0, stages.last == 100 else { return .bad }
            settings.rollout.stages = stages
            return .taken
        },
        duration("rollout.watch_after_commit", .zero...(.seconds(30 * 86400)), \.rollout.watchAfterCommit),
        duration("rollout.suites_every", .seconds(60)...(.seconds(365 * 86400)), \.rollout.suitesEvery),
        list("access.networks", "networks such as 192.168.0.0/16", \.access.networks) { Network($0) },
        list("access.hosts", "host names", \.access.hosts) { $0.isEmpty ? nil : $0.lowercased() },
        list("access.trusted_proxies", "networks such as 10.0.0.1", \.access.trustedProxies) { Network($0) },
        optionalText("access.admin_token_file", \.access.adminTokenFile),
        text("access.admin_group", \.access.adminGroup),
        Key(path: "access.tls", expected: "null") { _, value in
            if case .null = value { return .taken }
            return .notBuilt(available: "null")
        },
        count("limits.body_bytes", 1024...(1 << 30), \.limits.bodyBytes),
        count("limits.queue", 1...100_000, \.limits.queue),
        duration("limits.deadline", .milliseconds(10)...(.seconds(3600)), \.limits.deadline),
        count("limits.requests_per_second", 1...1_000_000, \.limits.requestsPerSecond),
        count("limits.connections", 1...100_000, \.limits.connections),
        text("terms", \.terms),
        text("hooks", \.hooks),
        Key(path: "feedback.enabled", expected: "true or false") { settings, value in
            guard case .word(let word) = value, let enabled = Bool(word) else { return .bad }
            settings.feedback.enabled = enabled
            return .taken
        },
        duration("feedback.keep", .seconds(86400)...(.seconds(3650 * 86400)), \.feedback.keep),
        count("feedback.quorum", 1...1000, \.feedback.quorum),
        choice("log.level", \.log.level),
    ]
}

extension Duration {
    /// `500ms`, `3s`, `5m`, `1h`, `7d`.
    init?(written text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), count <= 1_000_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "ms": self = .milliseconds(count)
        case "s": self = .seconds(count)
        case "m": self = .seconds(count * 60)
        case "h": self = .seconds(count * 3600)
        case "d": self = .seconds(count * 86400)
        default: return nil
        }
    }
}
