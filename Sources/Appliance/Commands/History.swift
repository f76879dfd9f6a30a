import ArgumentParser
import ApplianceConfiguration
import Disk
import Explain
import Ledger
import Rollout
import StrictJSON

struct History: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Says what happened to versions and patches.", zh: "显示版本与补丁的历史。"),
            discussion: say(
                "Each line is chained to the one before by a hash; --verify follows the chain from the first to the last.",
                zh: "每行以哈希与前一行相连；--verify 从头到尾核对整条链。") + "\n\n" + say("Examples:", zh: "例：")
                + "\n  tiankong history\n  tiankong history --verify")
    }

    @Option(help: ArgumentHelp(say("Lines after this number.", zh: "此编号之后的行。"), valueName: "n"))
    var after = 0

    @Flag(help: ArgumentHelp(say("Follow the chain; exits with 65 where it is broken.", zh: "核对哈希链；若断开则以 65 退出。")))
    var verify = false

    @Flag(help: ArgumentHelp(say("JSON, a line each.", zh: "输出 JSON，每行一个。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard after >= 0 else { throw ValidationError(say("--after: expected 0 or more", zh: "--after：应不小于 0")) }
    }

    func run() async throws {
        let settings = try place.load().settings
        let source = try await Source.open(settings)
        if verify { return try await check(source) }
        var last = after
        while case let lines = try await source.lines(after: last), let end = lines.last {
            for line in lines { show(line) }
            last = end.number
        }
    }

    private func check(_ source: borrowing Source) async throws {
        var chain = HistoryChain(file: "history")
        while case let lines = try await source.lines(after: chain.lines), !lines.isEmpty {
            for line in lines { try chain.follow(line) }
        }
        if json { return put((["lines": .integer(Int64(chain.lines)), "head": .string(chain.head)] as JSON).indented) }
        put(say("\(chain.lines) lines, whole; head \(chain.head)", zh: "共 \(chain.lines) 行，完好；链头 \(chain.head)"))
    }

    private func show(_ line: Ledger.Line) {
        if json { return put(line.json.serialized) }
        let body = line.json["body"]?.members ?? []
        let fields = body.filter { $0.key != "steps" && $0.key != "identity" }.map { member in
            let value = member.value.string ?? member.value.serialized
            // A fingerprint is told by its beginning.
            return member.key + "=" + (value.utf8.count == 64 ? String(value.prefix(12)) : value)
        }
        put("\(line.number)  \(line.at)  \(line.kind)  ".plain + fields.joined(separator: "  ").plain)
    }
}

/// Where lines come from.
private enum Source: ~Copyable {
    case service(Client)
    case file(Ledger)

    static func open(_ settings: Settings) async throws -> Source {
        if let socket = presentSocket(settings) {
            do { return .service(try await Client(socket: socket)) } catch Client.Failure.refused {}
        }
        let file = Paths().state(settings) + "/ledger.sqlite"
        guard Disk().exists(file) else { throw CommandError.noService(sockets: Paths().sockets(settings)) }
        return .file(try Ledger(reading: file))
    }

    func lines(after number: Int) async throws -> [Ledger.Line] {
        switch self {
        case .file(let ledger): return try ledger.lines(after: number)
        case .service(let client):
            let reply = try await client.get("/v1/history?after=\(number)&limit=1000")
            guard reply.status == 200 else { throw Problem(reply.json) }
            return (reply.json["lines"]?.elements ?? []).compactMap { Ledger.Line($0) }
        }
    }
}
