public import Disk

/// When a dropped file is looked into, and when what was found is its last word. Pure: no clock, no disk.
///
/// A file is looked into at once whenever it changed: one that was renamed into place is whole, and waiting would only
/// be waiting. But somebody may still be writing it under its final name (rsync --inplace, scp, a slow cp), so a fault
/// counts only once the file has been quiet for the settle time; until then it is looked into again, at each change and
/// at the end of that time.
public struct Settling: Sendable, Equatable {
    public enum Next: Sendable, Equatable {
        case look
        case wait(until: Duration)
        /// Nothing until it changes.
        case rest
    }

    private var entry: FolderHandle.Entry
    private var quietSince: Duration
    private var wasLookedInto = false
    private var isOver = false

    /// - Parameter now: on a clock that never jumps.
    public init(_ entry: FolderHandle.Entry, at now: Duration) {
        self.entry = entry
        quietSince = now
    }

    /// - Returns: whether it changed.
    public mutating func saw(_ entry: FolderHandle.Entry, at now: Duration) -> Bool {
        guard entry != self.entry else { return false }
        self = Settling(entry, at: now)
        return true
    }

    public func next(at now: Duration, settle: Duration) -> Next {
        if isOver { return .rest }
        if !wasLookedInto || isQuiet(at: now, settle) { return .look }
        return .wait(until: quietSince + settle)
    }

    /// It was found good.
    public mutating func accept() { (wasLookedInto, isOver) = (true, true) }

    /// It was found short or faulty.
    ///
    /// - Returns: whether that is the last word.
    public mutating func fault(at now: Duration, settle: Duration) -> Bool {
        wasLookedInto = true
        isOver = isQuiet(at: now, settle)
        return isOver
    }

    /// Good so far, but something is missing that may come without the file's doing: it is looked into again then.
    public mutating func again() { (wasLookedInto, isOver) = (false, false) }

    private func isQuiet(at now: Duration, _ settle: Duration) -> Bool { now - quietSince >= settle }
}
