import ArgumentParser
import ApplianceConfiguration
import Explain
import ModelFormat
import ModelStore
import Rollout
import StrictJSON

struct Versions: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Lists the versions that are kept.", zh: "列出已保存的版本。"),
            discussion: say("Example:", zh: "例：") + "\n  tiankong versions --json")
    }

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        let settings = try place.load().settings
        let versions = try await versions(settings)
        if json { return put(versions.indented) }
        for version in versions.elements ?? [] {
            let mark = version["role"]?.string == "live" ? "●" : version["role"]?.string == "snapshot" ? "○" : " "
            func text(_ key: String) -> String { version[key]?.string ?? "" }
            put(
                "\(mark) \(text("version").prefix(12))  \(text("release").plain)  " + say("epoch", zh: "序号")
                    + " \(version["epoch"]?.integer ?? 0)  \(text("created"))  \(role(text("role")))"
                    + (version["signer"]?.string.map { "  " + say("signed by", zh: "签名者") + " " + $0 } ?? ""))
        }
    }

    private func role(_ role: String) -> String {
        let names = ["live": "线上版", "snapshot": "快照", "kept": "已保存", "packaged": "内置", "damaged": "已损坏"]
        return say(role, zh: names[role] ?? role)
    }

    /// From the service; where none answers, from the state folder.
    private func versions(_ settings: Settings) async throws -> JSON {
        if let socket = presentSocket(settings) {
            do {
                let client = try await Client(socket: socket)
                let reply = try await client.get("/v1/versions")
                guard reply.status == 200 else { throw Problem(reply.json) }
                return reply.json["versions"] ?? []
            } catch Client.Failure.refused {}
        }
        let store = ModelStore(reading: Paths().state(settings))
        let (current, snapshot) = (try store.current(), (try? store.snapshot())?.fingerprint)
        return .array(
            try store.versions().sorted { ($0.created, $0.epoch) > ($1.created, $1.epoch) }.map { version in
                version.listed(
                    role: version.fingerprint == current ? "live"
                        : version.fingerprint == snapshot ? "snapshot" : version.origin == .embedded ? "packaged" : "kept")
            })
    }
}
