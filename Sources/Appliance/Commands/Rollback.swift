import ArgumentParser
import ApplianceConfiguration
import Explain
import ModelFormat
import Rollout
import StrictJSON

struct Rollback: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Goes back to the version before, at once.", zh: "立即回到上一版本。"),
            discussion: say(
                "Asks the service; where none runs, changes what the next start serves.",
                zh: "通过服务执行；服务未运行时，改为下次启动所用的版本。") + "\n\n" + say("Examples:", zh: "例：")
                + "\n  tiankong rollback --reason '答案变差了'\n  tiankong rollback --to bert-base-chinese+2\n  tiankong rollback --to packaged")
    }

    @Option(help: ArgumentHelp(
        say("A kept version (release or fingerprint), or packaged.", zh: "已保存的版本（发布号或指纹），或 packaged。"), valueName: "version"))
    var to: String?

    @Option(help: ArgumentHelp(say("Why, for the history.", zh: "原因，记入历史。"), valueName: "text"))
    var reason: String?

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        let settings = try place.load().settings
        if let socket = presentSocket(settings) {
            do {
                let client = try await Client(socket: socket)
                return show(try await ask(client))
            } catch Client.Failure.refused {
                // A socket that its service left behind: nobody is there to ask.
            }
        }
        show(try await Rollout.goBackWithoutService(
            .init(settings, state: Paths().state(settings)), to: to, reason: reason))
    }

    private func ask(_ client: borrowing Client) async throws -> JSON {
        var members: [JSON.Member] = []
        if let to { members.append(.init("to", .string(to))) }
        if let reason { members.append(.init("reason", .string(reason))) }
        let reply = try await client.post("/v1/rollback", .object(members))
        guard reply.status == 200 else { throw Problem(reply.json) }
        return reply.json
    }

    private func show(_ back: JSON) {
        if json { return put(back.indented) }
        func name(_ key: String) -> String {
            "\(back[key]?["release"]?.string ?? "?") (\(back[key]?["version"]?.string?.prefix(12) ?? "?"))"
        }
        put(say("from", zh: "从") + " " + name("from") + " " + say("to", zh: "回到") + " " + name("to"))
    }
}
