import Foundation
import Signing
import TestSupport
import Testing

private let sshKeygen = ["/usr/bin/ssh-keygen", "/usr/local/bin/ssh-keygen"].first { FileManager.default.isExecutableFile(atPath: $0) }

@Suite("signatures are those of ssh-keygen")
struct SignatureTests {
    private let message = Array("{\"kind\":\"patch\"}".utf8)

    /// Runs ssh-keygen; its exit status.
    @discardableResult
    private func keygen(_ arguments: [String], stdin: String? = nil) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(sshKeygen))
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        process.standardInput = try stdin.map { try FileHandle(forReadingFrom: URL(fileURLWithPath: $0)) } ?? FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test("a key and a signature that ssh-keygen made are read", .enabled(if: sshKeygen != nil), arguments: ["sha256", "sha512"])
    func fromKeygen(hash: String) throws {
        let owner = try TemporaryFolder(), folder = owner.path, key = folder + "/k"
        defer { withExtendedLifetime(owner) {} }
        try Data(message).write(to: URL(fileURLWithPath: folder + "/m"))
        try keygen(["-q", "-t", "ed25519", "-N", "", "-C", "a comment of odd length", "-f", key])
        try keygen(["-Y", "sign", "-n", "tiankong-patch", "-O", "hashalg=\(hash)", "-f", key, folder + "/m"])
        let signature = try SSHSignature(armoured: text(folder + "/m.sig"))
        let secret = try SSHPrivateKey(text(key), file: key)
        #expect(signature.key == secret.publicKey && signature.namespace == "tiankong-patch" && signature.hash.rawValue == hash)
        #expect(signature.isValid(for: message) && !signature.isValid(for: message + [0x20]))
        #expect(try SSHSignature(blob: signature.blob).isValid(for: message))
        let signers = try AllowedSigners("alice " + text(key + ".pub"), file: "signers")
        #expect(try signers.principal(of: signature.key, namespace: signature.namespace, now: 0) == "alice")
    }

    @Test("a key and a signature of ours are good for ssh-keygen", .enabled(if: sshKeygen != nil), arguments: [SSHSignature.Hash.sha256, .sha512])
    func toKeygen(hash: SSHSignature.Hash) throws {
        let folder = try TemporaryFolder(), path = folder.path
        defer { withExtendedLifetime(folder) {} }
        let secret = SSHPrivateKey()
        try secret.text(comment: "ours").write(toFile: path + "/k", atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path + "/k")
        #expect(try keygen(["-y", "-f", path + "/k"]) == 0)
        try Data(message).write(to: URL(fileURLWithPath: path + "/m"))
        try SSHSignature(signing: message, with: secret, namespace: "tiankong-patch", hash: hash).armoured
            .write(toFile: path + "/m.sig", atomically: true, encoding: .utf8)
        try "alice \(secret.publicKey)\n".write(toFile: path + "/signers", atomically: true, encoding: .utf8)
        let verify = ["-Y", "verify", "-f", path + "/signers", "-I", "alice", "-n", "tiankong-patch", "-s", path + "/m.sig"]
        #expect(try keygen(verify, stdin: path + "/m") == 0)
        #expect(try keygen(verify, stdin: path + "/k") != 0)
    }

    @Test("an encrypted key is refused with the way to sign, another kind by name", .enabled(if: sshKeygen != nil))
    func otherKeys() throws {
        let folder = try TemporaryFolder(), path = folder.path
        defer { withExtendedLifetime(folder) {} }
        try keygen(["-q", "-t", "ed25519", "-N", "secret", "-f", path + "/locked"])
        try keygen(["-q", "-t", "ecdsa", "-N", "", "-f", path + "/ecdsa"])
        #expect(throws: SigningError.encryptedKey(file: "locked")) { try SSHPrivateKey(text(path + "/locked"), file: "locked") }
        #expect("\(SigningError.encryptedKey(file: "locked"))".contains("ssh-keygen -Y sign -n tiankong-patch"))
        #expect(throws: SigningError.key(file: "ecdsa", expected: "an ssh-ed25519 key", found: "another kind of key")) {
            try SSHPrivateKey(text(path + "/ecdsa"), file: "ecdsa")
        }
    }

    @Test("a key file survives writing and reading, and its line ends")
    func roundTrip() throws {
        for comment in ["", "a", "ab", "name@host", "春风"] {
            let key = SSHPrivateKey()
            let text = key.text(comment: comment)
            #expect(try SSHPrivateKey(text, file: "k").publicKey == key.publicKey)
            #expect(try SSHPrivateKey(text.replacing("\n", with: "\r\n"), file: "k").publicKey == key.publicKey)
        }
    }

    @Test("a key file that was changed in one place is refused or is the same key")
    func spoiledKeys() throws {
        let key = SSHPrivateKey()
        let letters = Array(key.text(comment: "c").utf8)
        for index in letters.indices {
            var spoiled = letters
            spoiled[index] = spoiled[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            guard let read = try? SSHPrivateKey(String(decoding: spoiled, as: UTF8.self), file: "k") else { continue }
            #expect(read.publicKey == key.publicKey)
        }
    }

    @Test("a blob cut anywhere, lengthened, or with one bit turned is refused or not valid")
    func spoiledBlobs() throws {
        let blob = try SSHSignature(signing: message, with: SSHPrivateKey(), namespace: "tiankong-patch").blob
        for count in 0..<blob.count { #expect(throws: SigningError.self) { try SSHSignature(blob: Array(blob.prefix(count))) } }
        #expect(throws: SigningError.signature(expected: "an end after the signature", found: "more or fewer bytes")) {
            try SSHSignature(blob: blob + [0])
        }
        for bit in 0..<(8 * blob.count) {
            var spoiled = blob
            spoiled[bit / 8] ^= 1 << UInt8(bit % 8)
            guard let read = try? SSHSignature(blob: spoiled) else { continue }
            #expect(!read.isValid(for: message), "bit \(bit)")
        }
    }

    @Test("every wrong part of a signature is named", arguments: [
        ("SSHSIH", "SSHSIG, version 1", "other bytes"), ("ssh-rsa", "an ssh-ed25519 key", "another kind of key"),
        ("sha384", "hash sha256 or sha512", "sha384"), ("reserved", "a namespace and nothing reserved", "other bytes"),
    ])
    func wrongParts(part: String, expected: String, found: String) throws {
        func string(_ bytes: [UInt8]) -> [UInt8] { withUnsafeBytes(of: UInt32(bytes.count).bigEndian, Array.init) + bytes }
        func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
        let kind = part == "ssh-rsa" ? part : "ssh-ed25519"
        let blob = Array((part == "SSHSIH" ? part : "SSHSIG").utf8) + [0, 0, 0, 1] + string(string(kind) + string([UInt8](repeating: 7, count: 32)))
            + string("tiankong-patch") + string(part == "reserved" ? "x" : "") + string(part == "sha384" ? part : "sha512")
            + string(string("ssh-ed25519") + string([UInt8](repeating: 0, count: 64)))
        #expect(throws: SigningError.signature(expected: expected, found: found)) { try SSHSignature(blob: blob) }
    }

    @Test("text that is no signature", arguments: ["", "-----BEGIN SSH SIGNATURE-----\n", "-----BEGIN SSH SIGNATURE-----\n!!\n-----END SSH SIGNATURE-----\n"])
    func noArmour(text: String) {
        #expect(throws: SigningError.signature(expected: "-----BEGIN SSH SIGNATURE-----", found: "another text")) { try SSHSignature(armoured: text) }
    }
}
