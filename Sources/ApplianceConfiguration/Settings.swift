/// Everything that can be set, at its default. Names are the keys of the file (docs and etc/tiankong/tiankong.yaml).
public struct Settings: Sendable, Equatable {
    /// nil: `$STATE_DIRECTORY`, else `~/.local/state/tiankong`.
    public var state: String?
    /// nil: `$RUNTIME_DIRECTORY`, else under `$XDG_RUNTIME_DIR`, else `/run/tiankong`.
    public var socket: String?
    public var listen: [Endpoint] = [Endpoint(host: "127.0.0.1", port: 8470)]
    public var drop = Drop()
    public var suites = "/usr/share/tiankong/suites"
    public var model = Model()
    public var trust = Trust()
    public var rollout = Rollout()
    public var access = Access()
    public var limits = Limits()
    public var terms = "/etc/tiankong/terms.d"
    /// Programs that are told what happens.
    public var hooks = "/etc/tiankong/hooks.d"
    public var feedback = Feedback()
    public var log = Log()

    public init() {}

    public struct Drop: Sendable, Equatable {
        public var path: String?
        public var settle: Duration = .seconds(3)
    }

    public struct Model: Sendable, Equatable {
        public enum Precision: String, Sendable, CaseIterable { case exact, fast }
        public enum FoldCase: String, Sendable, CaseIterable { case auto, always, never }
        public var precision = Precision.fast
        /// nil: one a core.
        public var threads: Int?
        public var foldCase = FoldCase.auto
    }

    public struct Trust: Sendable, Equatable {
        public enum Unsigned: String, Sendable, CaseIterable { case refuse, allow }
        public var allowedSigners = "/etc/tiankong/allowed_signers"
        public var unsigned = Unsigned.refuse
        public var epochJump = 1000
    }

    public struct Rollout: Sendable, Equatable {
        public enum Policy: String, Sendable, CaseIterable { case careful, normal, immediate }
        public var policy = Policy.normal
        /// Per cent of the clients, rising, the last one 100.
        public var stages = [5, 20, 50, 100]
        public var watchAfterCommit: Duration = .seconds(3600)
        public var suitesEvery: Duration = .seconds(7 * 86400)
    }

    public struct Access: Sendable, Equatable {
        public var networks = [Network("127.0.0.0/8")!, Network("::1/128")!]
        public var hosts: [String] = []
        public var trustedProxies: [Network] = []
        public var adminTokenFile: String?
        public var adminGroup = "tiankong-admin"
    }

    public struct Limits: Sendable, Equatable {
        public var bodyBytes = 1_048_576
        public var queue = 256
        public var deadline: Duration = .seconds(2)
        /// Per client address on TCP; loopback and the socket have none.
        public var requestsPerSecond = 50
        public var connections = 1024
    }

    public struct Feedback: Sendable, Equatable {
        public var enabled = true
        public var keep: Duration = .seconds(365 * 86400)
        public var quorum = 1
    }

    public struct Log: Sendable, Equatable {
        public enum Level: String, Sendable, CaseIterable { case debug, info, notice, warning, error }
        public var level = Level.info
    }
}

/// Where to listen.
public struct Endpoint: Sendable, Equatable, CustomStringConvertible {
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `127.0.0.1:8470`, `name:8470` or `[::1]:8470`. Port 0 lets the system choose.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: host, port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
