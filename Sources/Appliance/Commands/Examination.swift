import ApplianceConfiguration
import Disk
import Engine
import Explain
import Glibc
import ModelFormat
import ModelStore
import Rollout
import Watch

/// What `doctor` looks at, in the order a service would need it.
struct Examination {
    let settings: Loaded
    private(set) var findings: [Finding] = []
    private let disk = Disk()

    init(settings: Loaded) {
        self.settings = settings
    }

    private var state: String { Paths().state(settings.settings) }

    mutating func run() async {
        machine()
        memory()
        configuration()
        stateFolder()
        versions()
        dropFolder()
        inotify()
        keys()
        hooks()
        clock()
        await service()
        await knownAnswer()
    }

    private mutating func add(
        _ name: String, _ verdict: Finding.Verdict, _ found: String, mend: String? = nil
    ) {
        findings.append(Finding(name: name, verdict: verdict, found: found, mend: verdict == .good ? nil : mend))
    }

    private mutating func machine() {
        let cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let best = ISA.best
        add(
            say("machine", zh: "机器"), best == .scalar ? .notice : .good,
            say("\(cores) cores, \(best.rawValue)", zh: "\(cores) 核，\(best.rawValue)"),
            mend: say("without AVX2 answers take many times as long", zh: "没有 AVX2 时作答会慢很多倍"))
    }

    /// Two versions of a full-size model, mapped, and what answering needs.
    private static let memoryWanted = 1 << 30

    private mutating func memory() {
        let available = Self.field("MemAvailable:", of: "/proc/meminfo").map { $0 * 1024 } ?? 0
        add(
            say("memory", zh: "内存"), available >= Self.memoryWanted ? .good : .notice,
            say("\(available >> 20) MiB available", zh: "可用 \(available >> 20) MiB"),
            mend: say("1 GiB is enough for two versions of a full-size model", zh: "容纳两个完整版本约需 1 GiB"))
    }

    private mutating func configuration() {
        let unknown = settings.unknownVariables
        add(
            say("configuration", zh: "配置"), unknown.isEmpty ? .good : .notice,
            (settings.file ?? say("defaults", zh: "默认值"))
                + (unknown.isEmpty ? "" : "; " + say("unknown: ", zh: "未知变量：") + unknown.joined(separator: ", ")),
            mend: say("unset variables that nobody reads", zh: "请去掉无人读取的变量"))
    }

    private mutating func stateFolder() {
        var folder = state
        while !disk.isFolder(folder), let slash = folder.lastIndex(of: "/"), slash != folder.startIndex {
            folder = String(folder[..<slash])
        }
        let free = (try? disk.freeBytes(at: folder)) ?? 0
        let name = say("state folder", zh: "数据目录")
        guard access(folder, W_OK) == 0 else {
            return add(
                name, .bad, say("\(folder) is not writable", zh: "\(folder) 不可写"),
                mend: say("give it to the user of the service: chown, or --state", zh: "请将其交给服务用户（chown），或用 --state 另指"))
        }
        add(
            name, free >= 2 << 30 ? .good : .notice,
            say("\(state), \(free >> 20) MiB free", zh: "\(state)，可用 \(free >> 20) MiB"),
            mend: say("2 GiB leave room for several versions", zh: "建议留出 2 GiB 以保存多个版本"))
    }

    private mutating func versions() {
        let store = ModelStore(reading: state)
        let name = say("versions", zh: "版本")
        do {
            guard let current = try store.current() else {
                return add(name, .good, say("none yet: the default model answers", zh: "尚无：由内置模型作答"))
            }
            let manifest = try store.manifest(of: current)
            try store.verify(manifest)
            add(name, .good, say("\(try store.versions().count) kept, current \(manifest.release)", zh: "共 \(try store.versions().count) 个，当前 \(manifest.release)"))
        } catch {
            add(name, .bad, error.message.text(in: language), mend: error.hint?.text(in: language))
        }
    }

    private mutating func dropFolder() {
        let folder = settings.settings.drop.path ?? state + "/drop"
        let name = say("drop folder", zh: "投放目录")
        guard disk.isFolder(folder) else {
            return add(
                name, .notice, say("\(folder) is not there", zh: "\(folder) 不存在"),
                mend: say("the service makes it at its start", zh: "服务启动时会创建"))
        }
        guard access(folder, W_OK) == 0 else {
            return add(
                name, .notice, say("\(folder) is not writable: no receipts", zh: "\(folder) 不可写：没有回执"),
                mend: say("give the service's user or group the right to write", zh: "请授予服务用户或其组写权限"))
        }
        let kind = Self.fileSystem(of: folder).flatMap { ["nfs", "nfs4", "cifs", "smb3", "tmpfs"].contains($0) ? $0 : nil }
        add(
            name, kind == nil ? .good : .notice, folder + (kind.map { " (\($0))" } ?? ""),
            mend: say("file systems of this kind give no events, or forget at a reboot: use a local disk", zh: "此类文件系统没有事件通知或重启即失：请用本地磁盘"))
    }

    private mutating func inotify() {
        let watches = Self.number("/proc/sys/fs/inotify/max_user_watches") ?? 0
        let instances = Self.number("/proc/sys/fs/inotify/max_user_instances") ?? 0
        add(
            "inotify", watches >= 64 && instances >= 8 ? .good : .notice,
            say("\(instances) instances, \(watches) watches", zh: "实例 \(instances)，监视 \(watches)"),
            mend: "sysctl fs.inotify.max_user_instances=128 fs.inotify.max_user_watches=8192")
        add(
            "libinotifytools", FolderWatch.hasEvents ? .good : .notice,
            FolderWatch.hasEvents
                ? say("the drop folder is watched", zh: "可监视投放目录")
                : say("not there: the drop folder is looked at every two seconds", zh: "未安装：每两秒查看一次投放目录"),
            mend: "apt-get install libinotifytools0")
    }

    private mutating func keys() {
        let path = settings.settings.trust.allowedSigners
        let isThere = disk.exists(path)
        let readable = access(path, R_OK) == 0
        add(
            say("keys", zh: "密钥"), !isThere ? .notice : readable ? .good : .bad,
            isThere
                ? readable ? path : say("\(path) is not readable", zh: "\(path) 不可读")
                : say("\(path) is not there: no patch will be accepted", zh: "\(path) 不存在：不会接受任何补丁"),
            mend: isThere ? "chmod 644 \(path)"
                : say("write a line into it for each key that may sign: NAME ssh-ed25519 AAAA…", zh: "为每个可签名的密钥写一行：名称 ssh-ed25519 AAAA…"))
    }

    private mutating func hooks() {
        let found = HookFolder(settings.settings.hooks)
        let count = found.programs.count
        let idle = found.idle == 0 ? "" : say(", \(found.idle) not executable", zh: "，\(found.idle) 个不可执行")
        let refused = found.refusals.map { $0.message.text(in: language) }.joined(separator: "; ")
        let run = count == 0 ? say("none to run", zh: "无可运行的程序") : say("\(count) to run", zh: "共 \(count) 个可运行")
        add(
            say("hooks", zh: "钩子"), found.refusals.isEmpty ? .good : .notice,
            run + idle + (refused.isEmpty ? "" : say("; refused: ", zh: "；拒绝：") + refused),
            mend: found.refusals.first?.hint?.text(in: language))
    }

    private mutating func clock() {
        // Keys have a valid-before: a clock that lost its battery makes every key valid again.
        let sane = time(nil) > 1_767_225_600  // 2026-01-01T00:00:00Z, before which this program was not
        add(
            say("clock", zh: "时钟"), sane ? .good : .bad, WallClock.timestamp(),
            mend: say("set the clock: timedatectl set-time", zh: "请校准时钟：timedatectl set-time"))
    }

    private mutating func service() async {
        let name = say("service", zh: "服务")
        guard let socket = presentSocket(settings.settings) else {
            return add(
                name, .notice, say("no socket: not running", zh: "没有套接字：未运行"), mend: "tiankong serve")
        }
        do throws(Client.Failure) {
            let client = try await Client(socket: socket)
            let reply = try await client.get("/readyz")
            add(
                name, reply.status == 200 ? .good : .notice,
                reply.status == 200 ? say("answers at \(socket)", zh: "正常，\(socket)") : say("warming", zh: "加载中"),
                mend: say("wait a moment", zh: "请稍候"))
        } catch {
            add(name, .bad, error.message.text(in: language), mend: error.hint?.text(in: language))
        }
    }

    /// The embedded model on this machine's own instructions: a wrong answer here is a broken machine or build.
    private mutating func knownAnswer() async {
        let name = say("known answer", zh: "已知答案")
        do {
            let pool = try WorkerPool.configured(settings.settings)
            defer { pool.stop() }
            let version = try Version(contents: try ModelContents.embedded(), release: embeddedRelease, pool: pool)
            let answer = try await version.fillMask.answer(Question("画龙点[MASK]", topK: 1))
            let best = answer.blanks.first?.candidates.first?.text ?? ""
            add(
                name, best == "睛" ? .good : .bad, "画龙点[MASK] → \(best)",
                mend: say("install again; test the memory of the machine", zh: "请重新安装，并检测本机内存"))
        } catch {
            add(name, .bad, "\(error)")
        }
    }

    // MARK: - /proc

    /// The type of the file system a folder is on: the mount with the longest matching path (proc_mounts(5)).
    private static func fileSystem(of folder: String) -> String? {
        guard let pointer = realpath(folder, nil) else { return nil }
        defer { free(pointer) }
        let path = String(cString: pointer) + "/"
        let mounts = text("/proc/mounts")?.split(separator: "\n").map { $0.split(separator: " ") } ?? []
        let ours = mounts.filter { $0.count > 2 && path.hasPrefix($0[1] == "/" ? "/" : $0[1] + "/") }
        return ours.max { $0[1].utf8.count < $1[1].utf8.count }.map { String($0[2]) }
    }

    private static func text(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    private static func number(_ path: String) -> Int? {
        text(path).flatMap { Int($0.split(separator: "\n").first ?? "") }
    }

    private static func field(_ name: String, of path: String) -> Int? {
        let line = text(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
    }
}
