import ArgumentParser
import ApplianceConfiguration
import Explain
import ModelStore
import Rollout
import StrictJSON

struct Status: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Says what answers now.", zh: "显示当前线上版。"),
            discussion: say(
                "Asks the service; where none runs, says what the state folder holds, and exits with 69.",
                zh: "询问服务；服务未运行时显示数据目录中的版本，并以 69 退出。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong status --json")
    }

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        let settings = try place.load().settings
        guard let socket = presentSocket(settings) else { return try stopped(settings) }
        let client = try await Client(socket: socket)
        let reply = try await client.get("/v1/status")
        guard reply.status == 200 else { throw Problem(reply.json) }
        show(reply.json)
    }

    private func show(_ status: JSON) {
        if json { return put(status.indented) }
        let names: [String: String] = [
            "version": "版本", "release": "发布号", "epoch": "序号", "state": "状态", "since": "上线时间", "precision": "精度",
            "isa": "指令集", "threads": "线程", "candidate": "待上线版", "snapshot": "快照", "pinned": "已保持", "terms": "术语",
        ]
        for member in status.members ?? [] {
            let name = say(member.key, zh: names[member.key] ?? member.key)
            put(name + ": " + (member.value.string ?? member.value.serialized))
        }
    }

    /// Nobody answers: what would, if somebody started the service.
    private func stopped(_ settings: Settings) throws {
        let store = ModelStore(reading: Paths().state(settings))
        if let current = try store.current() {
            let manifest = try store.manifest(of: current)
            show(.object([.init("state", "stopped")] + (manifest.listed(role: "live").members ?? [])))
        }
        throw CommandError.noService(sockets: Paths().sockets(settings))
    }
}
