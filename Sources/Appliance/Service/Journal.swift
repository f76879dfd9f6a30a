import Explain
import Glibc
import Logging
import Rollout

/// Log lines for people and for the journal: one `write` a line, line ends escaped so that nobody can forge a line.
///
/// Under systemd (`JOURNAL_STREAM` is set) a line begins with its priority as sd-daemon(3) has it; else with the time.
/// What was asked is never logged: a question is nobody's business but the asker's.
struct Journal: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private let isJournal: Bool

    init(level: Logger.Level) {
        logLevel = level
        isJournal = getenv("JOURNAL_STREAM") != nil
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        all["hb.request.id"] = nil
        let fields = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let head = isJournal ? "<\(event.level.priority)>" : "\(WallClock.timestamp()) \(event.level.rawValue) "
        let line = head + (event.message.description + fields).plain
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }
}

extension Logger.Level {
    /// syslog(3)'s numbers.
    fileprivate var priority: Int {
        switch self {
        case .critical: 2
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug, .trace: 7
        }
    }
}
