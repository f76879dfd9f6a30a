import ApplianceConfiguration
import ArgumentParser
import Disk
import Explain
import ModelFormat
import ModelStore
import PatchFormat
import Rollout
import StrictJSON

struct PatchMake: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "make",
            abstract: say("Makes a patch from one checkpoint to another.", zh: "由两个检查点制作补丁。"),
            discussion: say(
                "The target may come from any trainer. compact is a third of the size and off by a few per cent of the change.",
                zh: "目标可来自任何训练程序。compact 约为三分之一大小，误差为改动量的百分之几。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong patch make --base ./base --target ./tuned -o week48.tkp.zst")
    }

    enum Encoding: String, ExpressibleByArgument, CaseIterable { case exact, compact }

    @Option(help: ArgumentHelp(say("A folder or a kept version.", zh: "目录或已保存的版本。"), valueName: "base"))
    var base: String

    @Option(help: ArgumentHelp(say("A folder.", zh: "目录。"), valueName: "folder"))
    var target: String

    @Option(name: .shortAndLong, help: ArgumentHelp(say("The patch.", zh: "补丁文件。"), valueName: "file"))
    var output: String

    @Option(help: ArgumentHelp(say("exact, or compact.", zh: "exact 或 compact。")))
    var encoding = Encoding.exact

    @Option(help: ArgumentHelp(say("One above the base's, and above the floor of --state.", zh: "默认为基准序号加一，且高于 --state 中的下限。"), valueName: "n"))
    var epoch: Int?

    @Option(help: ArgumentHelp(say("The new version's name.", zh: "新版本的发布号。"), valueName: "name"))
    var release: String?

    @Option(help: ArgumentHelp(say("A JSON object that travels with the version.", zh: "随版本携带的 JSON 对象。"), valueName: "file"))
    var dossier: String?

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        if let epoch, !(1...Int(Int32.max)).contains(epoch) {
            throw ValidationError(say("--epoch: expected 1 to \(Int32.max)", zh: "--epoch：应为 1 到 \(Int32.max)"))
        }
        if let release, release.isEmpty || release.utf8.count > 100 || !release.isName {
            throw ValidationError(say("--release: expected 1 to 100 bytes, no control characters", zh: "--release：应为 1 到 100 字节，不含控制字符"))
        }
    }

    func run() async throws {
        let state = Paths().state(try place.load().settings)
        let from = try ModelSource(folderOrVersion: base, state: state)
        let floor = try ModelStore(reading: state).floor(of: from.line)
        let number = epoch ?? max(from.epoch, floor) + 1
        let maker = PatchMaker(
            base: from.contents, target: try ModelContents(huggingFace: target),
            recipe: .init(
                encoding: encoding == .exact ? .exact : .compact, line: from.line,
                release: release ?? Self.next(from.release, number), epoch: number, created: WallClock.timestamp(),
                dossier: try readDossier()))
        let product = try await maker.make()
        try PatchFiles.write(product.bytes, to: output)
        show(product)
    }

    /// `bert+3` after `bert+2`, or after `bert`, or after a folder of that name, which may be any.
    private static func next(_ release: String, _ epoch: Int) -> String {
        let plus = release.lastIndex(of: "+").flatMap { Int(release[release.index(after: $0)...]) == nil ? nil : $0 }
        let stem = plus.map { release[..<$0] } ?? release[...]
        var name = String(stem.split(separator: "/").last ?? stem).filter { String($0).plain == String($0) }
        while name.utf8.count > 80 { name.removeLast() }
        return "\(name)+\(epoch)"
    }

    private func readDossier() throws -> JSON? {
        guard let dossier else { return nil }
        let json: JSON
        do { json = try JSON(parsing: Array(try PatchFiles.text(dossier).utf8)) } catch let error as JSONError {
            throw PatchError.manifestJSON(file: dossier, error)
        }
        guard json.members != nil else { throw CommandError.flag(name: dossier, expected: "a JSON object", found: json.kind) }
        return json
    }

    private func show(_ product: PatchMaker.Product) {
        let plan = product.plan
        if json {
            let summary: JSON = [
                "file": .string(output), "bytes": .integer(Int64(product.bytes.count)), "base": .string("\(plan.base)"),
                "target": .string("\(plan.target)"), "line": .string("\(plan.line)"), "release": .string(plan.release),
                "epoch": .integer(Int64(plan.epoch)), "tensors": .integer(Int64(plan.frames.count)),
                "changed": .integer(Int64(product.changedElements)),
                "largest_difference": .real(Double(product.largestDifference)),
            ]
            return put(summary.indented)
        }
        put("\(output): \(product.bytes.count) " + say("bytes", zh: "字节"))
        put("  \(plan.base.short) → \(plan.target.short)  \(plan.release)  " + say("epoch", zh: "序号") + " \(plan.epoch)")
        put(
            "  " + say("tensors changed", zh: "改动的张量") + " \(plan.frames.count), "
                + say("largest difference to the target", zh: "与目标的最大差") + " \(product.largestDifference)")
    }
}

struct PatchOrder: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "order",
            abstract: say("Makes an order to go back, to be signed and dropped like a patch.", zh: "制作回滚命令，签名后像补丁一样投放。"),
            discussion: say("Example:", zh: "例：")
                + "\n  tiankong patch order --to 3f2a… --line 91cc… --epoch 4 -o back.tkp.zst")
    }

    @Option(help: ArgumentHelp(say("A kept version, or a fingerprint.", zh: "已保存的版本或指纹。"), valueName: "version"))
    var to: String

    @Option(help: ArgumentHelp(say("Its line; that of the kept version unless told.", zh: "所属版本线，默认取已保存版本的。"), valueName: "fingerprint"))
    var line: String?

    @Option(help: ArgumentHelp(say("Above the line's floor.", zh: "须高于版本线的下限。"), valueName: "n"))
    var epoch: Int

    @Option(help: ArgumentHelp(say("Why.", zh: "原因。"), valueName: "text"))
    var reason = ""

    @Option(name: .shortAndLong, help: ArgumentHelp(say("The order.", zh: "命令文件。"), valueName: "file"))
    var output: String

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        guard (1...Int(Int32.max)).contains(epoch) else {
            throw CommandError.flag(name: "--epoch", expected: "1 to \(Int32.max)", found: "\(epoch)")
        }
        guard reason.utf8.count <= 1000, (reason.plain == reason) else {
            throw CommandError.flag(name: "--reason", expected: "at most 1000 bytes, no control characters", found: "\(reason.utf8.count) bytes")
        }
        let target: (Fingerprint, Fingerprint)
        if let line {
            guard let line = Fingerprint(line), let to = Fingerprint(to) else {
                throw CommandError.flag(name: "--to, --line", expected: "64 hexadecimal digits each", found: "\(to), \(line)")
            }
            target = (to, line)
        } else {
            let manifest = try ModelStore(reading: Paths().state(try place.load().settings)).manifest(named: to)
            target = (manifest.fingerprint, manifest.line)
        }
        let manifest = PatchManifest.order(.init(line: target.1, to: target.0, epoch: epoch, reason: reason)).bytes
        let header = PatchHeader(manifest: manifest.count, signature: 0, frames: 0)
        try PatchFiles.write(header.bytes + manifest, to: output)
        put(say("\(output): back to \(target.0.short), epoch \(epoch); sign it next", zh: "\(output)：回到 \(target.0.short)，序号 \(epoch)；下一步请签名"))
    }
}
