public import ArgumentParser
import ApplianceConfiguration
import Engine
import Explain
import Glibc
import ModelFormat
import ModelStore
import NIOCore
import NIOPosix
import Disk
import Rollout

/// `tiankong`
public struct Tiankong: AsyncParsableCommand {
    public static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "tiankong",
            abstract: say("Fills the blanks in Chinese sentences, offline.", zh: "填空：离线补全中文句子里的空。"),
            discussion: say("Example:", zh: "例：") + "\n  tiankong fill '画龙点[MASK]'",
            version: version,
            subcommands: [
                Serve.self, Fill.self, Import.self, Export.self, PatchCommand.self, Status.self, Versions.self,
                History.self, Rollback.self, Promote.self, Hold.self, Resume.self, Eval.self, DossierCommand.self, Calibrate.self, Bench.self, Doctor.self, Selftest.self, Shadow.self,
            ])
    }

    public init() {}

    static let version = "0.1.0"

    /// Parses and runs; ends the process with sysexits(3)' codes.
    public static func main() async {
        // Routes run on Swift's pool and computing on our threads: one event loop has little to do.
        NIOSingletons.groupLoopCountSuggestion = 1
        // A reader that goes away (head, less) ends the command by an error of write, not by a signal.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try await asyncParseAsRoot(nil)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as any Explained {
            tell("tiankong: " + error.text(in: language))
            Glibc.exit(code(of: error).rawValue)
        } catch {
            exit(withError: error)
        }
    }

    /// The one table from errors to exit codes.
    private static func code(of error: any Explained) -> Exit {
        switch error {
        case let error as Problem: error.code.exit
        case let error as Client.Failure: error.exit
        case is ConfigurationError: .badConfiguration
        case let error as CommandError: error.exit
        case let error as StoreError: sysexit(of: error)
        case let error as RolloutError:
            if case .store(let inner) = error { sysexit(of: inner) } else { Problem(error).code.exit }
        case let error as DiskError: error.isOfReading ? .badData : .cannotCreate
        case let error as EngineError:
            switch error {
            case .isaMissing, .threads: .usage
            default: Problem(error).code.exit
            }
        default: .badData
        }
    }
}

private func sysexit(of error: StoreError) -> Exit {
    switch error {
    case .inUse, .noMemory: .tryLater
    case .disk, .noSpace: .cannotCreate
    case .format, .patch, .damaged, .unknownVersion, .ambiguous, .noSnapshot: .badData
    }
}

/// What only a command can find wrong.
enum CommandError: Explained {
    case noService(sockets: [String])
    case listener(address: String, reason: String)
    case alreadyServing(socket: String)
    case check(failed: Int)
    case flag(name: String, expected: String, found: String)

    var message: Bilingual {
        switch self {
        case .noService(let sockets):
            Bilingual(
                "no service: there is no socket at " + sockets.joined(separator: ", "),
                zh: "服务未运行：以下位置没有套接字：" + sockets.joined(separator: "、"))
        case .listener(let address, let reason):
            Bilingual("cannot listen on \(address): \(reason)", zh: "无法监听 \(address)：\(reason)")
        case .alreadyServing(let socket):
            Bilingual("\(socket): another tiankong serves here", zh: "\(socket)：另一个 tiankong 正在此服务")
        case .check(let failed):
            Bilingual("\(failed) of the checks failed", zh: "有 \(failed) 项检查未通过")
        case .flag(let name, let expected, let found):
            Bilingual("\(name): expected \(expected), found \(found)", zh: "\(name)：应为 \(expected)，实为 \(found)")
        }
    }

    var hint: Bilingual? {
        switch self {
        case .noService: Bilingual("tiankong serve starts one", zh: "可用 tiankong serve 启动")
        case .listener: Bilingual("is the address taken, or not of this machine?", zh: "地址是否被占用，或不属于本机？")
        case .alreadyServing: Bilingual("name another one with --socket", zh: "请用 --socket 指定别的位置")
        case .check, .flag: nil
        }
    }

    var exit: Exit {
        switch self {
        case .noService, .check: .noService
        case .listener: .cannotCreate
        case .alreadyServing: .tryLater
        case .flag: .usage
        }
    }
}

// MARK: - Speaking

let language = Language { name in getenv(name).map { String(cString: $0) } }

func say(_ en: String, zh: String) -> String { Bilingual(en, zh: zh).text(in: language) }

/// To stderr: everything that is not data.
func tell(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}

/// To stdout: data. A reader that is gone ends the process quietly, as other tools do.
func put(_ text: String) {
    put(Array((text + "\n").utf8))
}

func put(_ bytes: [UInt8]) {
    var sent = 0
    bytes.withUnsafeBytes { raw in
        while sent < raw.count {
            let count = write(1, raw.baseAddress! + sent, raw.count - sent)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { Glibc.exit(errno == EPIPE ? 0 : 74) }
            sent += count
        }
    }
}
