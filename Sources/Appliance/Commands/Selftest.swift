import ArgumentParser
import ApplianceConfiguration
import Disk
import Engine
import Explain
import Glibc
import ModelFormat
import Rollout
import StrictJSON

struct Selftest: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Tests this machine: known answers, and with --crash every way an update can break off.", zh: "自检：已知答案；加 --crash 则检验更新在每一步中断的后果。"),
            discussion: say(
                "--crash works in a scratch folder on the disk of the state folder: a patch is taken in and gone back from, and at each step the process is killed or the disk fails. Takes some minutes, and nothing else is touched.",
                zh: "--crash 在数据目录所在磁盘的临时目录中进行：接收补丁、回滚，并在每一步杀死进程或令磁盘出错。需数分钟，不触及其他数据。")
                + "\n\n" + say("Example:", zh: "例：") + "\n  tiankong selftest --crash")
    }

    @Flag(help: ArgumentHelp(say("The crash matrix too.", zh: "包括断电矩阵。")))
    var crash = false

    @Option(help: ArgumentHelp(say("Where the scratch folder is made; the state folder unless told.", zh: "临时目录的位置，默认在数据目录中。"), valueName: "folder"))
    var folder: String?

    @Option(help: ArgumentHelp(say("Every n-th step alone.", zh: "只检验每第 n 步。"), valueName: "n"))
    var every = 1

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    // One life with a fault, in a process of its own: `--trial FOLDER --step N --fault NAME`.
    @Option(help: .private) var trial: String?
    @Option(help: .private) var step = -1
    @Option(help: .private) var fault = "kill"

    func validate() throws {
        guard every > 0 else { throw ValidationError(say("--every: expected 1 or more", zh: "--every：应不小于 1")) }
    }

    func run() async throws {
        let settings = try place.load().settings
        if let trial { return try await live(in: trial, settings) }
        let pool = try WorkerPool.configured(settings)
        defer { pool.stop() }
        var failures = try await KnownAnswers.check(settings)
        report("known answers", failures)
        if crash {
            let matrix = CrashMatrix(
                folder: (folder ?? Paths().state(settings)) + "/selftest-\(getpid())", every: every, report: report)
            failures += try await matrix.run()
        }
        if json { put((["passed": .bool(failures.isEmpty), "failures": .array(failures.map { .string($0) })] as JSON).indented) }
        if !failures.isEmpty { throw CommandError.check(failed: failures.count) }
    }

    @Sendable private func report(_ what: String, _ failures: [String]) {
        if json { return }
        put("\(failures.isEmpty ? "✓" : "✗") \(what)")
        for failure in failures.prefix(5) { put("    → \(failure)") }
    }

    private func live(in folder: String, _ settings: Settings) async throws {
        let plan = FaultPlan(failingAt: step < 0 ? nil : step, CrashMatrix.faults[fault] ?? .kill)
        let pool = try WorkerPool.configured(settings)
        let finished = try await CrashTrial(folder: folder).live(Disk(faults: plan), pool: pool, packaged: ModelContents.embedded)
        put("\(plan.steps) \(finished)")
    }
}

/// The embedded model's answers, on every set of instructions that this machine has.
private enum KnownAnswers {
    private static let all = [
        ("画龙点[MASK]", "睛"), ("守株待[MASK]", "兔"), ("亡羊补[MASK]", "牢"), ("刻舟求[MASK]", "剑"), ("愚公移[MASK]", "山"),
        ("对牛弹[MASK]", "琴"), ("杯弓蛇[MASK]", "影"), ("望梅止[MASK]", "渴"), ("破釜沉[MASK]", "舟"), ("一鸣惊[MASK]", "人"),
    ]

    static func check(_ settings: Settings) async throws -> [String] {
        var failures: [String] = []
        for isa in ISA.allCases where isa.isAvailable {
            let pool = try WorkerPool(threads: settings.model.threads, isa: isa)
            defer { pool.stop() }
            let version = try Version(contents: try ModelContents.embedded(), release: embeddedRelease, pool: pool)
            for (text, expected) in all {
                let found = try await version.fillMask.answer(Question(text, topK: 1)).blanks.first?.candidates.first?.text ?? "nothing"
                if found != expected { failures.append("\(isa.rawValue): \(text): expected \(expected), found \(found)") }
            }
        }
        return failures
    }
}

/// Every step of an intake and of going back, each with every fault; each followed by the look of a fresh start.
private struct CrashMatrix {
    static let faults: [String: FaultPlan.Fault] = [
        "kill": .kill, "full": .lasting(ENOSPC), "dying": .lasting(EIO), "hiccup": .once(EIO),
    ]

    let folder: String
    let every: Int
    let report: @Sendable (String, [String]) -> Void

    func run() async throws -> [String] {
        try Disk().makeFolder(folder)
        defer { try? Disk().remove(folder) }
        let first = CrashTrial(folder: folder + "/first")
        let old = try ModelContents.embedded()
        try await first.prepare(old, try Self.changed(old))
        try first.copy(to: folder + "/count")
        let counted = try spawn(folder + "/count", step: -1, "kill")
        guard counted.code == 0, let steps = Int(counted.output.split(separator: " ").first ?? "") else {
            throw CommandError.flag(name: "selftest", expected: "a life without faults", found: "\(counted)")
        }
        try CrashTrial(folder: folder + "/count").checkEnd()
        var failures: [String] = []
        for fault in Self.faults.keys.sorted() {
            let bar = ProgressBar(fault)
            var mine: [String] = []
            let range = Array(stride(from: 0, to: steps, by: every))
            for (index, step) in range.enumerated() {
                mine += try trial(first, fault, step)
                bar.show(index + 1, of: range.count)
            }
            bar.end()
            report("\(fault): \(range.count) of \(steps) steps", mine)
            failures += mine
        }
        return failures
    }

    /// The fault, the look, a healthy life, and the look at its end.
    private func trial(_ first: CrashTrial, _ fault: String, _ step: Int) throws -> [String] {
        let place = folder + "/\(fault)-\(step)"
        try first.copy(to: place)
        defer { try? Disk().remove(place) }
        let trial = CrashTrial(folder: place)
        let broken = try spawn(place, step: step, fault)
        do {
            // A life that outlived its fault must have ended in order.
            if fault != "kill", broken.code != 0 { throw CrashTrial.Finding(description: "it ended with \(broken.code)") }
            try trial.check()
            let healthy = try spawn(place, step: -1, fault)
            if healthy.code != 0 { throw CrashTrial.Finding(description: "the next life ended with \(healthy.code)") }
            try trial.checkEnd()
            return []
        } catch {
            return ["\(fault) at step \(step): \(error)"]
        }
    }

    /// Rows of one matrix and one vector moved: small, and each kind of file is written.
    private static func changed(_ contents: ModelContents) throws -> ModelContents {
        let names: Set = ["bert.embeddings.LayerNorm.bias", "cls.predictions.transform.dense.weight"]
        let tensors = try contents.tensors.map { tensor in
            guard names.contains(tensor.name) else { return tensor }
            let bytes = HeapBytes(count: tensor.byteCount) { target in
                tensor.withBytes { target.copyMemory(from: $0) }
                // The lowest bit of a fraction's low byte: as little as a value can move.
                for index in stride(from: 0, to: min(target.count, 64), by: tensor.dtype.width) { target[index] ^= 1 }
            }
            return try StoredTensor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: bytes)
        }
        return try ModelContents(
            shape: contents.shape, tokenizer: contents.tokenizer, pieces: contents.pieces, tensors: tensors,
            calibration: contents.calibration, release: nil, epoch: 0)
    }

    /// This program again, in a process of its own.
    private func spawn(_ folder: String, step: Int, _ fault: String) throws -> (code: Int32, output: String) {
        let output = folder + "/output"
        let arguments = ["tiankong", "selftest", "--trial", folder, "--step=\(step)", "--fault", fault]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var pointers = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var process = pid_t()
        let code = posix_spawn(&process, "/proc/self/exe", &actions, nil, &pointers, environ)
        guard code == 0 else { throw DiskError.system(call: "posix_spawn", path: "/proc/self/exe", code: code) }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        // wait(2): the low seven bits are a signal, the next byte the exit code.
        let ended = status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
        return (ended, String(decoding: try Disk().read(output, atMost: 4096), as: UTF8.self))
    }
}
