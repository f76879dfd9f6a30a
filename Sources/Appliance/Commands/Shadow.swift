import ArgumentParser
import ApplianceConfiguration
import Engine
import Evaluation
import Explain
import Glibc
import ModelFormat
import ModelStore
import Rollout
import Synchronization

/// What the service starts to try a candidate: a process of its own, so that nothing that happens to it happens to those
/// who are answered, and whose threads run where nobody else wants to.
///
/// Recent questions come on stdin, a line each; what both versions say goes to stdout, a line each (`ShadowEvent`). It
/// ends when its reader does.
struct Shadow: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Tries a candidate beside the live version; the service starts it.", zh: "与线上版对照试运行待上线版；由服务启动。"),
            shouldDisplay: false)
    }

    @Option(help: ArgumentHelp(say("The state folder.", zh: "状态目录。")))
    var state: String

    @Option(help: ArgumentHelp(say("The live version.", zh: "线上版。")))
    var live: String

    @Option(help: ArgumentHelp(say("The candidate.", zh: "待上线版。")))
    var candidate: String

    @Option(name: .customLong("suites"), help: ArgumentHelp(say("A folder of suites.", zh: "题集目录。")))
    var suitesFolder: String?

    @Option(help: ArgumentHelp(say("fast or exact.", zh: "fast 或 exact。")))
    var precision = "fast"

    @Option(help: ArgumentHelp(say("How many threads compute.", zh: "计算线程数。")))
    var threads = 1

    func run() async throws {
        BackgroundThread.giveWayWhole()
        let run: ShadowRun, rows: [Suite]
        do { (run, rows) = try open() } catch {
            // Files, memory, suites: none of it is the candidate's fault.
            return put(ShadowEvent.unavailable("\(error)").line)
        }
        do throws(RolloutError) { try await run.warm() } catch {
            return put(ShadowEvent.broke("cannot answer: \(error.message.en)").line)
        }
        put(ShadowEvent.ready.line)
        var recent: [String] = []
        while let line = readLine() { recent.append(line) }
        let patience = Patience()
        await run.run(rows, recent: recent) { pair in
            if patience.isOver { BackgroundThread.insistWhole() }
            put(ShadowEvent.pair(pair).line)
            return true
        }
        put(ShadowEvent.complete.line)
    }

    private func open() throws -> (ShadowRun, [Suite]) {
        var settings = Settings()
        settings.model.threads = threads
        if let suitesFolder { settings.suites = suitesFolder }
        let store = ModelStore(reading: state)
        let pool = try WorkerPool.configured(settings)
        func version(_ name: String, sharing other: Version?) throws -> Version {
            do { return try Version(try store.manifest(named: name), in: store, pool: pool, sharing: other) } catch let error as StoreError {
                // What is served as a last resort is in no store.
                guard case .unknownVersion = error else { throw error }
                return try Version(contents: try ModelContents.embedded(), release: embeddedRelease, pool: pool)
            }
        }
        // First: a row that cannot be read is nobody's version's fault.
        let suites = try Suite.all(nil, settings)
        let before = try version(live, sharing: nil)
        let after = try version(candidate, sharing: before)
        let run = ShadowRun(live: before, candidate: after, precision: Precision(rawValue: precision) ?? .fast)
        return (run, suites)
    }
}

/// Where other programs never leave a core, what runs only then would never end: having had next to nothing for ten
/// seconds is enough. (Of its own service it need not be afraid: that leaves it some, `Courtesy`.)
private final class Patience: Sendable {
    private struct Mark {
        let wall = ContinuousClock.now
        let computed = Patience.computed()
    }
    private let mark = Mutex(Mark())

    var isOver: Bool {
        mark.withLock { mark in
            let waited = ContinuousClock.now - mark.wall
            guard waited > .seconds(10) else { return false }
            defer { mark = Mark() }
            return Self.computed() - mark.computed < waited / .seconds(30)
        }
    }

    /// Seconds of all threads.
    private static func computed() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
