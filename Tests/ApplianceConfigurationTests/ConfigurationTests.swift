import ApplianceConfiguration
import Disk
import TestSupport
import Testing

@Suite("the configuration is read strictly")
struct ConfigurationTests {
    private func settings(_ yaml: String) throws(ConfigurationError) -> Settings {
        var settings = Settings()
        try settings.apply(Array(yaml.utf8), file: "t.yaml")
        return settings
    }

    @Test("the file in the tree holds every key at its default")
    func shippedFile() throws {
        let file = Places.root + "/etc/tiankong/tiankong.yaml"
        let text = try Disk().read(file, atMost: 1 << 20)
        var loaded = Settings()
        try loaded.apply(text, file: file)
        #expect(loaded == Settings())
    }

    @Test("values go where they belong")
    func values() throws {
        let settings = try settings(
            """
            listen: ["0.0.0.0:80", "[::1]:8470"]
            model: { threads: 3, fold_case: never }
            access: { networks: [192.168.0.0/16], hosts: [Tiankong.Local] }
            limits: { deadline: 500ms }
            """)
        #expect(settings.listen == [Endpoint(host: "0.0.0.0", port: 80), Endpoint(host: "::1", port: 8470)])
        #expect(settings.model.threads == 3 && settings.model.foldCase == .never)
        #expect(settings.access.networks == [Network("192.168.0.0/16")!])
        #expect(settings.access.hosts == ["tiankong.local"])
        #expect(settings.limits.deadline == .milliseconds(500))
    }

    @Test("an unknown key is refused with its line and the key that was probably meant")
    func unknownKey() {
        #expect(throws: ConfigurationError.unknownKey(file: "t.yaml", line: 3, key: "model.thread", nearest: "model.threads")) {
            try settings("# a comment\nmodel:\n  thread: 2\n")
        }
        #expect(throws: ConfigurationError.unknownKey(file: "t.yaml", line: 1, key: "zzzzzzzzzzzz", nearest: nil)) {
            try settings("zzzzzzzzzzzz: 2\n")
        }
    }

    @Test(
        "a bad value is refused",
        arguments: [
            "listen: [nowhere]", "listen: ['127.0.0.1:99999']", "model: { threads: 0 }", "model: { threads: many }",
            "model: { precision: turbo }", "model: 3", "drop: { settle: 3 }", "limits: { queue: -1 }",
            "limits: { queue: 1.5 }", "access: { networks: [10.0.0.0/33] }", "rollout: { stages: [5, 5, 100] }",
            "rollout: { stages: [5, 20] }", "feedback: { enabled: maybe }", "log: { level: [info] }", "limits: { queue: }",
        ])
    func badValue(yaml: String) {
        #expect {
            try settings(yaml)
        } throws: { error in
            guard case ConfigurationError.badValue("t.yaml, line 1", _, _, _) = error else { return false }
            return true
        }
    }

    @Test("every policy is taken", arguments: [Settings.Rollout.Policy.careful, .normal, .immediate])
    func policies(policy: Settings.Rollout.Policy) throws {
        #expect(try settings("rollout: { policy: \(policy.rawValue) }").rollout.policy == policy)
        #expect(Settings().rollout.policy == .normal)
    }

    @Test("what is not built yet is refused as a value, not as a key", arguments: ["access: { tls: a.pem }"])
    func notBuilt(yaml: String) {
        #expect {
            try settings(yaml)
        } throws: { error in
            guard case ConfigurationError.notBuilt = error else { return false }
            return true
        }
    }

    @Test(
        "what is not a plain map of keys is refused with its line",
        arguments: ["[1]", "a: &x 1", "model: !!map {}", "a: 1\n---\nb: 2", "model:\n\tthreads: 1", "model: {", "state: a\nstate: b"])
    func syntax(yaml: String) {
        #expect(throws: ConfigurationError.self) { try settings(yaml) }
    }

    @Test("an empty file and one of comments alone change nothing", arguments: ["", "# nothing\n", "\n\n", "---\n"])
    func empty(yaml: String) throws {
        #expect(try settings(yaml) == Settings())
    }

    @Test("the environment goes over the file; what nobody knows is reported, not refused")
    func environment() throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/t.yaml"
        try Disk().writeDurably("limits: { queue: 7, connections: 9 }\n", to: file)
        let loaded = try Settings.load(
            file: file,
            environment: [
                "TIANKONG_LIMITS_QUEUE": "8", "TIANKONG_MODEL_FOLD_CASE": "never", "TIANKONG_NONSENSE": "1",
                "TIANKONG_LISTEN": "127.0.0.1:1, 127.0.0.1:2", "PATH": "/bin",
            ])
        #expect(loaded.settings.limits.queue == 8 && loaded.settings.limits.connections == 9)
        #expect(loaded.settings.model.foldCase == .never)
        #expect(loaded.settings.listen.map(\.port) == [1, 2])
        #expect(loaded.unknownVariables == ["TIANKONG_NONSENSE"])
    }

    @Test("a bad variable is refused by its name")
    func badVariable() {
        #expect(throws: ConfigurationError.badValue(place: "TIANKONG_LIMITS_QUEUE", key: "limits.queue", expected: "a whole number from 1 to 100000", found: "\"many\"")) {
            try Settings.load(file: nil, environment: ["TIANKONG_LIMITS_QUEUE": "many"])
        }
    }

    @Test(
        "networks contain what they should",
        arguments: [
            ("10.0.0.0/8", "10.255.1.2", true), ("10.0.0.0/8", "11.0.0.1", false), ("::1/128", "::1", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true), ("0.0.0.0/0", "8.8.8.8", true), ("0.0.0.0/0", "::1", false),
            ("fe80::/10", "fe80::1", true), ("192.168.1.4", "192.168.1.4", true), ("192.168.1.4/31", "192.168.1.6", false),
        ])
    func networks(network: String, address: String, inside: Bool) throws {
        #expect(try #require(Network(network)).contains(address) == inside)
    }
}
