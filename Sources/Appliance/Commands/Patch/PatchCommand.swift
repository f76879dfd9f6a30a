import ApplianceConfiguration
import ArgumentParser
import Disk
import Explain
import Glibc
import ModelFormat
import PatchFormat
import Signing
import StrictJSON

/// `tiankong patch …`
struct PatchCommand: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "patch",
            abstract: say("Makes, signs and looks into patches.", zh: "制作、签名、查看补丁。"),
            discussion: say("Example:", zh: "例：")
                + "\n  tiankong patch make --base ./base --target ./tuned -o week48.tkp.zst"
                + "\n  tiankong patch sign week48.tkp.zst --key ~/.ssh/id_ed25519",
            subcommands: [PatchMake.self, PatchSign.self, PatchVerify.self, PatchInspect.self, PatchOrder.self])
    }
}

/// What can be wrong with the files a patch command is given.
enum PatchFiles {
    static func text(_ path: String, atMost limit: Int = 1 << 20) throws -> String {
        let bytes: [UInt8]
        // A file that is not there is bad data; only what cannot be written is a matter of the disk.
        do { bytes = try Disk().read(path, atMost: limit) } catch { throw PatchError.disk(error) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandError.flag(name: path, expected: "UTF-8", found: "other bytes")
        }
        return text
    }

    /// To a new file, by rename.
    static func write(_ bytes: [UInt8], to path: String) throws {
        try Disk().writeDurably(bytes, to: path)
    }

    static var now: Int { time(nil) }
}

struct PatchSign: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "sign",
            abstract: say("Signs a patch or an order, in place.", zh: "为补丁或命令签名（原地替换）。"),
            discussion: say(
                "With a key file, or with a signature that ssh-keygen made (an agent's or an encrypted key's):",
                zh: "用密钥文件，或用 ssh-keygen（代理或加密密钥）做好的签名：")
                + "\n  tiankong patch inspect F --manifest > m"
                + "\n  ssh-keygen -Y sign -n tiankong-patch -f KEY m"
                + "\n  tiankong patch sign F --signature m.sig\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong patch sign week48.tkp.zst --key ~/.ssh/id_ed25519")
    }

    @Argument(help: ArgumentHelp(say("The file.", zh: "文件。"), valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp(say("An ssh-ed25519 key without a passphrase.", zh: "无口令的 ssh-ed25519 私钥。"), valueName: "file"))
    var key: String?

    @Option(help: ArgumentHelp(say("What ssh-keygen -Y sign wrote.", zh: "ssh-keygen -Y sign 的输出。"), valueName: "file"))
    var signature: String?

    func validate() throws {
        guard (key == nil) != (signature == nil) else {
            throw ValidationError(say("expected one of --key and --signature", zh: "--key 与 --signature 应且仅应给出一个"))
        }
    }

    func run() async throws {
        let patch = try PatchFile(path: file)
        let made: SSHSignature
        if let key {
            let secret = try SSHPrivateKey(try PatchFiles.text(key), file: key)
            made = try SSHSignature(signing: patch.manifestBytes, with: secret, namespace: PatchFile.namespace)
        } else {
            made = try SSHSignature(armoured: try PatchFiles.text(signature ?? ""))
            guard made.namespace == PatchFile.namespace else {
                throw SigningError.signature(expected: "namespace \(PatchFile.namespace)", found: made.namespace)
            }
            guard made.isValid(for: patch.manifestBytes) else { throw SigningError.wrongSignature(key: "\(made.key)") }
        }
        try PatchFiles.write(patch.signed(made), to: file)
        put(say("signed by", zh: "已签名：") + " \(made.key)")
    }
}

struct PatchInspect: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "inspect",
            abstract: say("Shows what a patch says of itself; believes nothing.", zh: "显示补丁自述的内容（不作校验）。"),
            discussion: say("Example:", zh: "例：") + "\n  tiankong patch inspect week48.tkp.zst")
    }

    @Argument(help: ArgumentHelp(say("The file.", zh: "文件。"), valueName: "file"))
    var file: String

    @Flag(help: ArgumentHelp(say("Write the signed bytes to stdout, as they stand.", zh: "原样输出被签名的字节。")))
    var manifest = false

    func run() async throws {
        let patch = try PatchFile(path: file)
        if manifest { return put(patch.manifestBytes) }
        let opened = try patch.opened(.nobodyAsked)
        var members: [JSON.Member] = [
            .init("identity", .string("\(patch.identity)")), .init("bytes", .integer(Int64(patch.header.whole))),
            .init("key", try patch.signature().map { .string("\($0.key)") } ?? .null),
        ]
        if let json = try? JSON(parsing: opened.manifest.bytes), let more = json.members { members += more }
        put(JSON.object(members).indented)
    }
}

struct PatchVerify: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "verify",
            abstract: say("Checks a patch as the appliance would.", zh: "按设备的规则校验补丁。"),
            discussion: say(
                "Signature, manifest and every frame; with --base also that it leads from there to the version it names.",
                zh: "校验签名、清单和每一帧；给出 --base 时还校验能否由其得到所述版本。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong patch verify week48.tkp.zst --allowed-signers ./allowed_signers --base ./base")
    }

    @Argument(help: ArgumentHelp(say("The file.", zh: "文件。"), valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp(say("Who may sign.", zh: "可信签名者。"), valueName: "file"))
    var allowedSigners: String?

    @Option(help: ArgumentHelp(say("A folder or a kept version.", zh: "目录或已保存的版本。"), valueName: "base"))
    var base: String?

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        let settings = try place.load().settings
        let path = allowedSigners ?? settings.trust.allowedSigners
        let signers = try AllowedSigners(try PatchFiles.text(path), file: path)
        let patch = try PatchFile(path: file)
        let (manifest, signer) = try patch.opened(.signers(signers, now: PatchFiles.now))
        guard case .patch(let plan) = manifest else {
            return put(say("good: an order, signed by \(signer ?? "?")", zh: "有效：命令，签名者 \(signer ?? "?")"))
        }
        let source = try base.map { try ModelSource(folderOrVersion: $0, state: Paths().state(settings)) }
        let room = MergeRoom()
        for (frame, start) in zip(plan.frames, plan.starts).sorted(by: { $0.0.exact > $1.0.exact }) {
            if let source {
                try patch.merge(frame, at: start, onto: source.contents, in: room, failing: { $0 }) { _ throws(PatchError) in }
            } else {
                try patch.check(frame, at: start, in: room)
            }
        }
        if let source { try await check(plan, source) }
        put(
            say(
                "good: \(plan.release), epoch \(plan.epoch), \(plan.frames.count) tensors, signed by \(signer ?? "?")",
                zh: "有效：\(plan.release)，序号 \(plan.epoch)，\(plan.frames.count) 个张量，签名者 \(signer ?? "?")"))
    }

    private func check(_ plan: PatchPlan, _ source: ModelSource) async throws {
        let identity = source.contents.identity(digests: await source.contents.digests())
        guard identity.fingerprint == plan.base else {
            throw PatchError.base(tensor: "fingerprint", expected: "\(plan.base)", found: "\(identity.fingerprint)")
        }
        let result = plan.identity(base: identity).fingerprint
        guard result == plan.target else { throw PatchError.fingerprint(expected: "\(plan.target)", found: "\(result)") }
    }
}
