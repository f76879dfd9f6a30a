import ArgumentParser
import ApplianceConfiguration
import Explain
import Ledger
import ModelStore
import Rollout
import StrictJSON

struct Promote: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Commits what is being tried, at once.", zh: "立即正式上线正在试行的版本。"),
            discussion: say(
                "Whatever evidence is still missing; evidence that speaks against it wins all the same.",
                zh: "不再等待尚缺的证据；若已有不利证据，仍会回滚。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong promote --reason '已人工核对'")
    }

    @OptionGroup var order: OrderOptions

    func run() async throws {
        let settings = try order.place.load().settings
        guard let socket = presentSocket(settings) else { throw CommandError.noService(sockets: Paths().sockets(settings)) }
        let rollout = try await order.ask("/v1/promote", try await Client(socket: socket))
        order.show(rollout, say("promoted: \(rollout.subject)", zh: "已上线：\(rollout.subject)"))
    }
}

struct Hold: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Keeps things as they are, until resume.", zh: "保持现状，直到 resume。"),
            discussion: say(
                "A candidate stays at its stage; patches wait. Over restarts too; going back stays possible.",
                zh: "待上线版停在当前阶段，补丁等待；重启后依然有效，仍可回滚。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong hold --reason '节假日期间不变更'")
    }

    @OptionGroup var order: OrderOptions

    func run() async throws {
        let rollout = try await order.ask("/v1/hold") { store throws(StoreError) in
            try store.keepPin(.init(by: OrderOptions.nobody, reason: order.reason, since: WallClock.timestamp()))
            return "pinned"
        }
        order.show(rollout, say("held: nothing new goes live until resume", zh: "已保持：resume 之前不会有新版本上线"))
    }
}

struct Resume: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Ends a hold: what waited goes on.", zh: "解除保持：等待的工作继续进行。"),
            discussion: say("Nothing happens where nothing was held.", zh: "若未曾保持，则不做任何事。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong resume")
    }

    @OptionGroup var order: OrderOptions

    func run() async throws {
        let rollout = try await order.ask("/v1/resume") { store throws(StoreError) in
            // A pin that cannot be read is one all the same.
            let wasPinned = (try? store.pin() != nil) ?? true
            try store.removePin()
            return wasPinned ? "unpinned" : nil
        }
        order.show(rollout, say("nothing is held any more", zh: "已解除保持"))
    }
}

/// What the three have in common.
struct OrderOptions: ParsableArguments {
    /// Who it was, where no service could tell.
    static let nobody = "command, no service"

    @Option(help: ArgumentHelp(say("Why, for the history.", zh: "原因，记入历史。"), valueName: "text"))
    var reason: String?

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    /// The service; where none runs, the store: it is read at the next start.
    ///
    /// - Parameter change: returns the history's kind of what it did.
    func ask(_ path: String, without change: (ModelStore) throws(StoreError) -> String?) async throws -> JSON {
        let settings = try place.load().settings
        if let socket = presentSocket(settings) {
            do { return try await ask(path, try await Client(socket: socket)) } catch Client.Failure.refused {
                // A socket that its service left behind: nobody is there to ask.
            }
        }
        let state = Paths().state(settings)
        let store = try ModelStore(opening: state)
        if let kind = try change(store) { record(kind, in: state) }
        let pin = try store.pin()
        let pinned: JSON = pin.map { ["by": .string($0.by), "reason": $0.reason.map { .string($0) } ?? .null] } ?? .null
        return .object([.init("state", "stopped")] + (pin == nil ? [] : [.init("pinned", pinned)]))
    }

    func ask(_ path: String, _ client: borrowing Client) async throws -> JSON {
        let reply = try await client.post(path, .object(reason.map { [.init("reason", .string($0))] } ?? []))
        guard reply.status == 200 else { throw Problem(reply.json) }
        return reply.json
    }

    /// What was done is done, with or without a line of it.
    private func record(_ kind: String, in state: String) {
        var body: [JSON.Member] = [.init("by", .string(Self.nobody))]
        if let reason { body.append(.init("reason", .string(reason))) }
        do throws(LedgerError) {
            try Ledger(state + "/ledger.sqlite").append(kind, .object(body), at: WallClock.timestamp())
        } catch { tell("tiankong: " + error.text(in: language)) }
    }

    func show(_ rollout: JSON, _ text: String) {
        put(json ? rollout.indented : text)
    }
}

extension JSON {
    /// What is tried.
    fileprivate var subject: String { (self["file"]?.string ?? self["candidate"]?["release"]?.string ?? "?").plain }
}
