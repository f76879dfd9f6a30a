public import Disk
import Explain
public import Engine
public import Evaluation
import Ledger
public import ModelFormat
public import ModelStore
import StrictJSON
import Synchronization
import Watch

/// The one who changes what is served: takes patches from the drop folder, imports, goes back. Decisions are pure values
/// (`Settling`, `Admission`, `RolloutMachine`); this actor carries them out, on a thread of its own, and looks again
/// after every wait.
public actor Rollout {
    public struct Settings: Sendable {
        /// The state folder.
        public var state: String
        public var drop: String
        public var settle: Duration = .seconds(3)
        public var allowedSigners: String
        public var allowsUnsigned = false
        public var epochJump = 1000
        /// How many versions are kept, the live one and the snapshot among them.
        public var kept = 8
        /// The packaged model, and its name.
        public var packaged: @Sendable () throws(ModelFormatError) -> ModelContents
        public var packagedRelease: String
        /// Folders that are somebody else's to look at, watched together with the drop folder, for there is one watcher in
        /// a process; `look` is called at each of its hints.
        public var alsoWatched: [String] = []
        public var look: @Sendable () -> Void = {}

        // How a new version earns its traffic.
        public var policy = Policy.normal
        /// Per cent of the clients, rising.
        public var stages = [5, 20, 50, 100]
        /// How long a stage lasts at least.
        public var dwell: Duration = .seconds(10)
        public var watchAfterCommit: Duration = .seconds(3600)
        public var suitesEvery: Duration = .seconds(7 * 86400)
        /// A client's, in milliseconds.
        public var deadline = 2000.0
        /// The suites that a candidate is asked, here.
        public var suites: @Sendable () -> [Suite] = { [] }
        public var precision = Precision.fast
        /// Who casts the shadow; nil: this process, for where there is no other.
        public var shadow: Shadowing?

        public init(
            state: String, drop: String, allowedSigners: String, packagedRelease: String,
            packaged: @escaping @Sendable () throws(ModelFormatError) -> ModelContents
        ) {
            (self.state, self.drop, self.allowedSigners) = (state, drop, allowedSigners)
            (self.packagedRelease, self.packaged) = (packagedRelease, packaged)
        }
    }

    public enum Weight: Sendable { case info, warning, error }
    /// A line for the log.
    public typealias Note = @Sendable (Weight, String, [(String, String)]) -> Void

    /// Starts of a version that were not followed by a while of answering, after which it is gone back from.
    static let mostAttempts = 3
    /// How long a version must answer before a start counts as good.
    static let proof: Duration = .seconds(30)

    nonisolated public let models = ModelSwitch()
    nonisolated public let metrics = RolloutMetrics()
    nonisolated public let events = EventHub()
    nonisolated public let recent = RecentQuestions()
    nonisolated let published = Mutex(Published())
    nonisolated private let thread = OwnThread()
    nonisolated public var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    let settings: Settings
    let store: ModelStore
    let pool: WorkerPool
    let disk: Disk
    let note: Note
    var book: Book
    var machine: RolloutMachine
    var breaker = Breaker()
    /// An order to take back what is tried, until the trial has heard of it.
    var takenBack: (by: String, reason: String?)?
    /// How often the trial's process ended without having said everything.
    var breaks = 0
    /// When the suites were last begun by the clock.
    var suitesBegun: Duration?
    /// The version whose trial this is, from prewarmed to decided.
    var tried: Fingerprint?
    /// A trial that is under way ends as if it had not begun.
    var isStopping = false
    /// Why the trial stands still, as it was last said.
    var heldReason: String?
    /// What the live version knew when it was new.
    var knowledge: Prewarm?
    /// Of every version kept; read anew whenever we changed it.
    var kept: [Fingerprint: VersionManifest] = [:]
    /// An order to go back has reached memory, and not yet the disk.
    var owesDisk = false
    /// A version whose files are not what they were.
    var damaged: Set<Fingerprint> = []

    // The drop folder.
    var folder: FolderHandle?
    var dropped: [String: DroppedFile] = [:]
    var strange: Set<String> = []
    var watch: FolderWatch?
    let started = ContinuousClock.now
    var isFolderTold = false
    /// Of the trust list, as it was last seen.
    var trustStamp: Int?

    public init(
        _ settings: Settings, store: ModelStore, pool: WorkerPool, disk: Disk = Disk(), note: @escaping Note = { _, _, _ in }
    ) {
        self.settings = settings
        self.store = store
        self.pool = pool
        self.disk = disk
        self.note = note
        book = Book(path: settings.state + "/ledger.sqlite", disk: disk, note: note)
        machine = RolloutMachine(stages: settings.stages, dwell: settings.dwell, pin: Self.pin(in: store, note))
    }

    /// A pin that cannot be read is one: whoever wrote it wanted things to stay.
    private static func pin(in store: ModelStore, _ note: Note) -> RolloutMachine.Pin? {
        do throws(StoreError) {
            return try store.pin().map { .init(by: $0.by, reason: $0.reason) }
        } catch {
            note(.error, "the pin cannot be read: nothing new begins until resume", [("reason", error.message.en)])
            return .init(by: "nobody known", reason: error.message.en)
        }
    }

    /// A line of the history, and an event.
    func record(_ kind: String, _ body: [JSON.Member], ends: (identity: Digest, ending: Ledger.Ending)? = nil) {
        book.append(kind, body, ends: ends.map { ("\($0.identity)", $0.ending) })
        events.post(.init(kind: kind), kind, .object(body))
    }

    nonisolated var staging: String { settings.state + "/staging" }
    var quarantine: Quarantine { Quarantine(folder: settings.state + "/quarantine", disk: disk) }
    /// A clock that never jumps.
    var now: Duration { ContinuousClock.now - started }

    func refreshKept() {
        do {
            let (versions, faults) = try store.readableVersions()
            kept = Dictionary(versions.map { ($0.fingerprint, $0) }) { first, _ in first }
            for fault in faults { note(.error, "a version cannot be read", [("reason", fault.message.en)]) }
        } catch {
            note(.error, "versions cannot be read", [("reason", error.message.en)])
        }
    }

    /// Watches the drop folder until `stop`; call after `start`.
    public func run() async {
        try? disk.makeFolder(settings.drop, mode: 0o775)
        let watch = FolderWatch([settings.drop], others: settings.alsoWatched)
        self.watch = watch
        // Told to stop before there was anything to be stopped.
        if isStopping { watch.stop() }
        let care = Task { await upkeep() }
        for await _ in watch.hints {
            settings.look()
            alignDisk()
            look()
            await pump()
            publish()
        }
        care.cancel()
    }

    /// Ends `run`. The version has been stopped on purpose: its start was a good one.
    public func stop() {
        isStopping = true
        // Nothing of a trial survives, and a stop on purpose is no attempt that failed.
        if let subject = machine.trial?.subject, let known = dropped[subject]?.known, takenBack == nil {
            book.forgetAttempts(of: "\(known.identity)")
        }
        watch?.stop()
        events.close()
        try? store.forgetAttempts()
    }

    func wake() { watch?.hint() }

    var isPolling: Bool { watch?.mode != .events }

    /// Looks again after a while, whatever happens in the folder.
    func lookAgain(in time: Duration) {
        let watch = watch
        Task {
            try? await Task.sleep(for: time)
            watch?.hint()
        }
    }
}

/// What others may read at any time without waiting for the actor.
struct Published: Sendable {
    var phase: RolloutMachine.Phase?
    var subject: String?
    var candidate: Claim?
    var stage: Int?
    var share = 0
    var hold: RolloutMachine.Hold?
    var pin: RolloutMachine.Pin?
    var evidence: Evidence?
    var verdict: Verdict?
    var watched: String?
    var waiting: [(file: String, missing: String)] = []
    var isPolling = false
    var snapshotIsDamaged = false
}
