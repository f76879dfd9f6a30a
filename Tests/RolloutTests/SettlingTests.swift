import Disk
import Rollout
import Testing

/// `#expect` cannot hold a mutating call.
private final class Subject {
    private var settling: Settling
    init(_ entry: FolderHandle.Entry, at now: Duration) { settling = Settling(entry, at: now) }
    func saw(_ entry: FolderHandle.Entry, at now: Duration) -> Bool { settling.saw(entry, at: now) }
    func next(at now: Duration, settle: Duration) -> Settling.Next { settling.next(at: now, settle: settle) }
    func fault(at now: Duration, settle: Duration) -> Bool { settling.fault(at: now, settle: settle) }
    func accept() { settling.accept() }
    func again() { settling.again() }
}

@Suite("a dropped file settles")
struct SettlingTests {
    private let settle: Duration = .seconds(3)

    private func entry(size: Int = 100, inode: UInt64 = 7, changed: Int = 1, kind: FolderHandle.Entry.Kind = .file) -> FolderHandle.Entry {
        .init(kind: kind, inode: inode, size: size, modified: 1, changed: changed)
    }

    @Test("a file that was renamed into place is looked into at once, and once found good it rests for ever")
    func renamed() {
        let settling = Subject(entry(), at: .seconds(10))
        #expect(settling.next(at: .seconds(10), settle: settle) == .look)
        settling.accept()
        #expect(settling.next(at: .seconds(10), settle: settle) == .rest)
        #expect(settling.next(at: .seconds(10_000), settle: settle) == .rest)
    }

    @Test("a growing file is looked into at each change and never refused before it is quiet")
    func growing() {
        let settling = Subject(entry(size: 0), at: .zero)
        for second in 0..<100 {
            let now = Duration.seconds(second)
            #expect(settling.saw(entry(size: second, changed: 2 + second), at: now))
            #expect(settling.next(at: now, settle: settle) == .look)
            #expect(!settling.fault(at: now, settle: settle))
            #expect(settling.next(at: now + .milliseconds(1), settle: settle) == .wait(until: now + settle))
        }
        #expect(settling.next(at: .seconds(102), settle: settle) == .look)
        #expect(settling.fault(at: .seconds(102), settle: settle))
        #expect(settling.next(at: .seconds(103), settle: settle) == .rest)
    }

    @Test("a fault before the file is quiet is looked into once more at the end of the settle time, and then is the last word")
    func faultThenQuiet() {
        let settling = Subject(entry(), at: .zero)
        #expect(!settling.fault(at: .zero, settle: settle))
        #expect(settling.next(at: .milliseconds(2999), settle: settle) == .wait(until: settle))
        #expect(settling.next(at: settle, settle: settle) == .look)
        #expect(settling.fault(at: settle, settle: settle))
        #expect(settling.next(at: settle, settle: settle) == .rest)
    }

    @Test("a fault just short of the settle time is not yet the last word")
    func oneNanosecondShort() {
        let settling = Subject(entry(), at: .zero)
        let almost = settle - .nanoseconds(1)
        #expect(!settling.fault(at: almost, settle: settle))
        #expect(settling.next(at: almost, settle: settle) == .wait(until: settle))
    }

    @Test("without a settle time the first fault is the last word")
    func noSettleTime() {
        let settling = Subject(entry(), at: .zero)
        #expect(settling.next(at: .zero, settle: .zero) == .look)
        #expect(settling.fault(at: .zero, settle: .zero))
        #expect(settling.next(at: .zero, settle: .zero) == .rest)
    }

    @Test("any change of the entry begins anew, whatever was said before", arguments: ["size", "inode", "changed", "kind"])
    func change(of part: String) {
        let other =
            switch part {
            case "size": entry(size: 101)
            case "inode": entry(inode: 8)
            case "changed": entry(changed: 2)
            default: entry(kind: .link)
            }
        for isGood in [true, false] {
            let settling = Subject(entry(), at: .zero)
            if isGood { settling.accept() } else { #expect(settling.fault(at: .seconds(5), settle: settle)) }
            #expect(settling.saw(other, at: .seconds(6)))
            #expect(settling.next(at: .seconds(6), settle: settle) == .look)
            #expect(!settling.fault(at: .seconds(6), settle: settle))
            #expect(settling.next(at: .seconds(7), settle: settle) == .wait(until: .seconds(9)))
        }
    }

    @Test("the same entry is no change, and does not put off the end of the settle time")
    func same() {
        let settling = Subject(entry(), at: .zero)
        #expect(!settling.saw(entry(), at: .seconds(1)))
        #expect(!settling.fault(at: .seconds(1), settle: settle))
        #expect(!settling.saw(entry(), at: .seconds(2)))
        #expect(settling.next(at: .seconds(2), settle: settle) == .wait(until: settle))
    }

    @Test("one that may go better later is looked into again, after a good look as after a bad one")
    func again() {
        let settling = Subject(entry(), at: .zero)
        settling.accept()
        settling.again()
        #expect(settling.next(at: .seconds(1), settle: settle) == .look)
        #expect(settling.fault(at: .seconds(4), settle: settle))
        settling.again()
        #expect(settling.next(at: .seconds(5), settle: settle) == .look)
    }
}
