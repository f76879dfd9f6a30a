import Foundation
import Signing
import Testing

@Suite("allowed_signers is read as ssh-keygen(1) writes of it")
struct AllowedSignersTests {
    private let key = SSHPrivateKey()
    private let noon = 1_767_268_800  // 2026-01-01T12:00:00Z

    private func principal(_ text: String, namespace: String = "tiankong-patch", now: Int? = nil) throws -> String {
        try AllowedSigners(text, file: "signers").principal(of: key.publicKey, namespace: namespace, now: now ?? noon)
    }

    private func refusal(_ text: String, namespace: String = "tiankong-patch", now: Int? = nil) -> String {
        do { return try "accepted as " + principal(text, namespace: namespace, now: now) } catch {
            return String("\(error)".prefix { $0 != "\n" })
        }
    }

    @Test("a bare line, one with comment, tabs, blanks around, several principals, quoted principals")
    func plain() throws {
        #expect(try principal("alice \(key.publicKey)") == "alice")
        #expect(try principal("alice \(key.publicKey) alice's key \"of old") == "alice")
        #expect(try principal("  alice\t\(key.publicKey)  ") == "alice")
        #expect(try principal("alice@example.com,bob \(key.publicKey)") == "alice@example.com")
        #expect(try principal("!eve,*@example.com \(key.publicKey)") == "*@example.com")
        #expect(try principal("\"alice the trainer\" \(key.publicKey)") == "alice the trainer")
    }

    @Test("comments, blank lines, line ends of Windows, no line end at all")
    func lines() throws {
        #expect(try principal("# first\r\n\r\n   # second\r\nalice \(key.publicKey)\r\n") == "alice")
        #expect(try principal("\n\nbob \(SSHPrivateKey().publicKey)\nalice \(key.publicKey)") == "alice")
        #expect(refusal("# alice \(key.publicKey)").contains("expected a key of allowed_signers"))
        #expect(refusal("").contains("expected a key of allowed_signers"))
        // A second line that cannot be read must not hide behind a CR.
        #expect(refusal("alice \(key.publicKey)\r\nbroken\r\n").hasPrefix("signers, line 2: expected a key type and a key"))
    }

    @Test("namespaces are patterns", arguments: [
        ("tiankong-patch", true), ("*", true), ("file,tiankong-*", true), ("tiankong-patc?", true), ("file", false),
        ("*,!tiankong-patch", false), ("!file", false), ("tiankong", false), ("tiankong-patch?", false), ("TIANKONG-PATCH", false),
    ])
    func namespaces(list: String, fits: Bool) {
        let line = "alice namespaces=\"\(list)\" \(key.publicKey)"
        #expect(refusal(line) == (fits ? "accepted as alice" : "signer alice: namespace: expected \(list), found tiankong-patch"))
    }

    @Test("a pattern of many stars is not slow")
    func stars() {
        let pattern = String(repeating: "*a", count: 5_000) + "b"
        #expect(refusal("alice namespaces=\"\(pattern)\" \(key.publicKey)", namespace: String(repeating: "a", count: 5_000)).contains("namespace"))
    }

    @Test("a key is valid at both of its times and not a second beyond, UTC with Z")
    func times() {
        let line = "alice VALID-AFTER=\"20260101Z\",valid-before=\"202601011200Z\" \(key.publicKey)"
        #expect(refusal(line, now: noon) == "accepted as alice")
        #expect(refusal(line, now: noon + 1) == "signer alice: the key is not valid any more")
        #expect(refusal(line, now: noon - 43_200) == "accepted as alice")
        #expect(refusal(line, now: noon - 43_201) == "signer alice: the key is not valid yet")
        #expect(refusal("alice valid-before=\"20260101115959Z\" \(key.publicKey)") == "signer alice: the key is not valid any more")
    }

    @Test("without Z a time is local")
    func localTime() {
        setenv("TZ", "Asia/Shanghai", 1)
        tzset()
        defer {
            unsetenv("TZ")
            tzset()
        }
        let line = "alice valid-before=\"202601012000\" \(key.publicKey)"
        #expect(refusal(line, now: noon) == "accepted as alice")
        #expect(refusal(line, now: noon + 1) == "signer alice: the key is not valid any more")
    }

    @Test("another line of the same key may allow what the first does not")
    func twoLines() throws {
        let text = "alice valid-before=\"20200101Z\" \(key.publicKey)\ncarol namespaces=\"tiankong-*\" \(key.publicKey)"
        #expect(try principal(text) == "carol")
    }

    @Test("authorities, certificates and other kinds of keys are passed over")
    func others() {
        let lines = [
            "*@example.com cert-authority \(key.publicKey)", "a Cert-Authority,namespaces=\"*\" \(key.publicKey)",
            "b ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC", "c ecdsa-sha2-nistp256 AAAA", "d sk-ssh-ed25519@openssh.com AAAA",
            "e ssh-ed25519-cert-v01@openssh.com AAAA",
        ]
        #expect(refusal(lines.joined(separator: "\n")).contains("expected a key of allowed_signers"))
    }

    @Test("a line that cannot be read refuses the file, with its number, expected and found", arguments: [
        ("alice", "a key type and a key", "the line's end"), ("alice ssh-ed25519", "a key type and a key", "ssh-ed25519"),
        ("alice ssh-ed25519 AAAA", "an ssh-ed25519 key in base64", "AAAA"), ("!eve KEY", "a principal", "!eve"),
        (", KEY", "a principal", ","), ("\"alice KEY", "a closing quote", "the line's end"),
        ("alice namespace=\"x\" KEY", "namespaces=", "namespace=\"x\""), ("alice no-pty KEY", "namespaces=", "no-pty"),
        ("alice cert-authority=\"x\" KEY", "namespaces=", "cert-authority"), ("alice namespaces KEY", "namespaces=", "namespaces"),
        ("alice namespaces=\"\" KEY", "a value in double quotes", "\"\""), ("alice namespaces=\"a\\\"b\" KEY", "a value in double quotes", "\\"),
        ("alice namespaces=\"a\",namespaces=\"b\" KEY", "namespaces once", "it twice"),
        ("alice namespaces=\"a\",, KEY", "namespaces=", "found "), ("alice valid-after=\"2026\" KEY", "YYYYMMDD[HHMM[SS]][Z]", "2026"),
        ("alice valid-after=\"20260230Z\" KEY", "a time that exists", "20260230Z"),
        ("alice valid-after=\"202601011275Z\" KEY", "a time that exists", "202601011275Z"),
        ("alice valid-after=\"202601012400Z\" KEY", "a time that exists", "202601012400Z"),
        ("alice valid-after=\"20260102Z\",valid-before=\"20260102Z\" KEY", "valid-before later", "it is not"),
    ])
    func broken(line: String, expected: String, found: String) {
        let text = "# head\n" + line.replacing("KEY", with: "\(key.publicKey)")
        let refusal = refusal(text)
        #expect(refusal.hasPrefix("signers, line 2: expected ") && refusal.contains(expected) && refusal.contains(found), "\(refusal)")
    }

    @Test("an unknown key is named")
    func unknown() {
        #expect(refusal("bob \(SSHPrivateKey().publicKey)") == "signer: expected a key of allowed_signers, found \(key.publicKey)")
    }
}
