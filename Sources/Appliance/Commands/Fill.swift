import ArgumentParser
import ApplianceConfiguration
import Engine
import Explain
import Rollout
import ModelFormat
import StrictJSON

struct Fill: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Fills the blanks of texts.", zh: "补全文本中的空。"),
            discussion: say(
                """
                Asks the service through its socket; where no socket exists, computes in this process.

                Examples:
                  tiankong fill '画龙点[MASK]' '床前明月光，疑是地[MASK]霜。'
                  tiankong fill '今天天气真[MASK]' --targets 好,坏
                  tiankong fill - < questions.jsonl > answers.jsonl
                """,
                zh: """
                    优先通过套接字询问服务；没有套接字时在本进程内计算。

                    例：
                      tiankong fill '画龙点[MASK]' '床前明月光，疑是地[MASK]霜。'
                      tiankong fill '今天天气真[MASK]' --targets 好,坏
                      tiankong fill - < questions.jsonl > answers.jsonl
                    """))
    }

    @Argument(
        help: ArgumentHelp(
            say(
                "Texts with [MASK]; - reads lines from stdin (plain text, or objects as for /v1/fill) and writes JSON lines.",
                zh: "含 [MASK] 的文本；- 表示从标准输入逐行读取（纯文本或 /v1/fill 的对象），逐行输出 JSON。"),
            valueName: "text"))
    var texts: [String]

    @Option(help: ArgumentHelp(say("How many candidates a blank, 1 to 100.", zh: "每空的候选数，1 到 100。"), valueName: "n"))
    var topK: Int?

    @Option(help: ArgumentHelp(say("Characters a blank: 1, n or auto.", zh: "每空的字数：1、n 或 auto。"), valueName: "span"))
    var span: String?

    @Option(help: ArgumentHelp(say("Score only these, separated by commas.", zh: "只给这些词打分，用逗号分隔。"), valueName: "a,b"))
    var targets: String?

    @Option(help: ArgumentHelp(say("A Hugging Face folder to answer with, in this process.", zh: "用该 Hugging Face 目录在本进程内作答。"), valueName: "folder"))
    var model: String?

    @Flag(help: ArgumentHelp(say("JSON lines, as /v1/fill answers.", zh: "输出 JSON，每行一个。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard !texts.isEmpty else { throw ValidationError(say("expected a text, found none", zh: "缺少文本")) }
        if texts.contains("-"), texts.count > 1 {
            throw ValidationError(say("- stands alone", zh: "- 只能单独使用"))
        }
        if let topK, !(1...100).contains(topK) {
            throw ValidationError(say("--top-k: expected 1 to 100, found \(topK)", zh: "--top-k：应为 1 到 100，实为 \(topK)"))
        }
        if model != nil, place.socket != nil {
            throw ValidationError(say("--model and --socket exclude each other", zh: "--model 与 --socket 不能同时使用"))
        }
    }

    func run() async throws {
        let answerer = try await answerer()
        if texts == ["-"] { return try await stream(through: answerer) }
        var failed: Problem?
        for outcome in try await answerer.answer(texts.map { request(for: .string($0)) }) {
            switch outcome {
            case .success(let answer): show(answer)
            case .failure(let problem):
                failed = failed ?? problem
                if json { put(problem.json(requestID: nil, language: language).serialized) }
                tell("tiankong: " + problem.text(in: language))
            }
        }
        if let failed { throw ExitCode(failed.code.exit.rawValue) }
    }

    /// The options of the command under what a line says itself.
    private func request(for line: JSON) -> JSON {
        var members: [JSON.Member]
        if case .object(let own) = line { members = own } else { members = [.init("text", line)] }
        func fallback(_ name: String, _ value: JSON?) {
            if let value, !members.contains(where: { $0.key == name }) { members.append(.init(name, value)) }
        }
        fallback("top_k", topK.map { .integer(Int64($0)) })
        fallback("span", span.map { text in Int64(text).map { .integer($0) } ?? .string(text) })
        fallback("targets", targets.map { .array($0.split(separator: ",").map { .string(String($0)) }) })
        return .object(members)
    }

    private func answerer() async throws -> Answerer {
        let settings = try place.load().settings
        if model == nil, let socket = presentSocket(settings) { return .service(socket: socket) }
        let version = try Version.called(model.map { $0 + "/" }, settings: settings, pool: try WorkerPool.configured(settings))
        if span != nil || texts == ["-"] {
            let terms = SiteTerms(folder: settings.terms)
            _ = terms.look()
            terms.dress(version.fillMask)
        }
        return .here(version, settings)
    }

    // MARK: - A stream of lines

    /// Lines that are on their way together: enough to keep the threads busy, few enough to be nothing in memory.
    private static let window = 64

    private func stream(through answerer: Answerer) async throws {
        var lines = Lines()
        while true {
            var parsed: [Result<JSON, Problem>] = []
            while parsed.count < Self.window, let line = lines.next() { parsed.append(Self.parse(line)) }
            if parsed.isEmpty { return }
            let requests = parsed.compactMap { try? $0.get() }.map(request)
            var outcomes = try await answerer.answer(requests).makeIterator()
            var out: [UInt8] = []
            for line in parsed {
                let outcome = line.flatMap { _ in outcomes.next() ?? .failure(Problem(.internal, .init("no answer", zh: "无应答"))) }
                switch outcome {
                case .success(let answer): answer.write(to: &out)
                case .failure(let problem): problem.json(requestID: nil).write(to: &out)
                }
                out.append(0x0A)
            }
            put(out)
        }
    }

    /// A line that begins with `{` is a request, any other a text.
    private static func parse(_ line: [UInt8]) -> Result<JSON, Problem> {
        if line.first == UInt8(ascii: "{") {
            do { return .success(try JSON(parsing: line)) } catch { return .failure(Problem(.invalidJSON, error)) }
        }
        guard let text = String(validating: line, as: UTF8.self) else {
            return .failure(Problem(.invalidJSON, field: "line", expected: "UTF-8", found: "an invalid byte"))
        }
        return .success(.string(text))
    }

    // MARK: - For people

    private func show(_ answer: JSON) {
        if json { return put(answer.serialized) }
        let blanks = answer["blanks"]?.elements ?? []
        for blank in blanks {
            if blanks.count > 1 { put(say("blank \((blank["index"]?.integer ?? 0) + 1)", zh: "空 \((blank["index"]?.integer ?? 0) + 1)")) }
            for candidate in blank["candidates"]?.elements ?? [] {
                let score = candidate["score"]?.real ?? 0
                let text = candidate["text"]?.string ?? ""
                let percent = "\((score * 1000).rounded() / 10)%"
                put(String(repeating: " ", count: max(0, 6 - percent.count)) + percent + "  " + text)
            }
        }
    }
}
