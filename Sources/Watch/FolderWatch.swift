import CInotify
import Glibc
import Synchronization

/// Says that something may have changed in some folders; what, its reader finds by looking. So an event that was lost,
/// merged with another or invented costs nothing but a look.
///
/// One thread of its own for the whole process: libinotifytools keeps its state in globals and waits whole seconds. Where
/// the library, an instance or events of that file system are not to be had, the folders are looked at every two
/// seconds. A folder that is removed, renamed or mounted over is watched anew as soon as it is there again: the watch is
/// on an inode, so the name is compared with it every second.
public final class FolderWatch: Sendable {
    public enum Mode: String, Sendable { case events, polling }

    /// One element however many changes came since the last was taken.
    public let hints: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let stopped = Atomic(false)
    private let current = Atomic(0)

    /// Whether libinotifytools is there to be opened. Before the first watch, or after the last.
    public static var hasEvents: Bool { tk_inotify_open() == 0 }

    /// How the folders are watched now.
    public var mode: Mode { current.load(ordering: .relaxed) == 1 ? .events : .polling }

    /// - Parameters:
    ///   - others: watched as well, where they are there; often they are not, and nobody minds.
    ///   - alwaysPolling: for file systems without events, and for tests of that.
    /// - Precondition: one at a time in a process.
    public init(_ folders: [String], others: [String] = [], alwaysPolling: Bool = false) {
        (hints, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let loop = WatchLoop(
            folders: folders, others: others, alwaysPolling: alwaysPolling, hint: { [continuation] in continuation.yield() },
            isStopped: { [self] in stopped.load(ordering: .relaxed) },
            mode: { [self] mode in current.store(mode == .events ? 1 : 0, ordering: .relaxed) })
        loop.start()
    }

    /// As if something had happened.
    public func hint() { continuation.yield() }

    /// The thread ends within a second.
    public func stop() {
        stopped.store(true, ordering: .relaxed)
        continuation.finish()
    }
}

private final class WatchLoop: Sendable {
    private struct Place: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    private let folders: [String]
    private let others: [String]
    private let alwaysPolling: Bool
    private let hint: @Sendable () -> Void
    private let isStopped: @Sendable () -> Bool
    private let mode: @Sendable (FolderWatch.Mode) -> Void

    init(
        folders: [String], others: [String], alwaysPolling: Bool, hint: @escaping @Sendable () -> Void,
        isStopped: @escaping @Sendable () -> Bool, mode: @escaping @Sendable (FolderWatch.Mode) -> Void
    ) {
        self.folders = folders
        self.others = others
        self.alwaysPolling = alwaysPolling
        self.hint = hint
        self.isStopped = isStopped
        self.mode = mode
    }

    func start() {
        let this = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { this in
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            Unmanaged<WatchLoop>.fromOpaque(this!).takeRetainedValue().run()
            return nil
        }, this)
        if code == 0 { pthread_detach(thread) } else { Unmanaged<WatchLoop>.fromOpaque(this).release() }
    }

    private func run() {
        let hasEvents = !alwaysPolling && tk_inotify_open() == 0
        var watched: [String: Place] = [:]
        var silent = 0
        hint()
        while !isStopped() {
            if hasEvents, renew(&watched) { hint() }
            let all = hasEvents && folders.allSatisfy { watched[$0] != nil }
            mode(all ? .events : .polling)
            if waited(hasEvents && !watched.isEmpty) {
                silent = 0
                hint()
                continue
            }
            silent += 1
            // Events can be missing without a word (network file systems): look now and then all the same.
            if silent.isMultiple(of: all ? 30 : 2) { hint() }
        }
    }

    /// Waits a second at most; whether something happened.
    private func waited(_ hasEvents: Bool) -> Bool {
        guard hasEvents else {
            sleep(1)
            return false
        }
        var bits: UInt32 = 0
        var name = [CChar](repeating: 0, count: 256)
        switch tk_inotify_next(1, &bits, &name, name.count) {
        case 1: return true
        case 0: return false
        default:
            sleep(1)
            return true
        }
    }

    /// Watches what is there under the names now; whether that changed.
    private func renew(_ watched: inout [String: Place]) -> Bool {
        var changed = false
        for folder in folders + others {
            var status = stat()
            let isThere = stat(folder, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            let place = isThere ? Place(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) : nil
            if watched[folder] == place { continue }
            changed = true
            if watched[folder] != nil { tk_inotify_unwatch(folder) }
            watched[folder] = place != nil && tk_inotify_watch(folder) == 0 ? place : nil
        }
        return changed
    }
}
