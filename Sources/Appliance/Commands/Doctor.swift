import ArgumentParser
import ApplianceConfiguration
import StrictJSON

struct Doctor: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Looks the machine and the installation over.", zh: "检查本机与安装情况。"),
            discussion: say(
                "Each finding comes with its mend. Exits with 69 when something keeps the service from working.",
                zh: "每个问题都附有解决办法。若有妨碍服务运行的问题，以 69 退出。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong doctor")
    }

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        var examination = Examination(settings: try place.load())
        await examination.run()
        if json {
            put(JSON.array(examination.findings.map(\.json)).indented)
        } else {
            for finding in examination.findings { finding.print() }
        }
        let failed = examination.findings.count { $0.verdict == .bad }
        if failed > 0 { throw CommandError.check(failed: failed) }
    }
}

/// One thing that was looked at.
struct Finding {
    enum Verdict: String {
        case good, notice, bad

        var mark: String {
            switch self {
            case .good: "✓"
            case .notice: "!"
            case .bad: "✗"
            }
        }
    }

    let name: String
    let verdict: Verdict
    let found: String
    var mend: String?

    var json: JSON {
        [
            "check": .string(name), "verdict": .string(verdict.rawValue), "found": .string(found),
            "mend": mend.map { .string($0) } ?? .null,
        ]
    }

    func print() {
        put("\(verdict.mark) \(name): \(found)")
        if let mend { put("    → \(mend)") }
    }
}
