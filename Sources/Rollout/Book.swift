import Explain
import Disk
import Ledger
import StrictJSON

/// The ledger as the rollout writes it: a line that a full disk refuses is kept in memory and written with the next one
/// that is not, for nothing that has to happen now may wait for a record of it.
struct Book {
    private static let mostOwed = 200

    private let path: String
    private let disk: Disk
    private let note: Rollout.Note
    private var ledger: Ledger?
    private var owed: [Owed] = []

    private struct Owed {
        let kind: String
        let body: JSON
        let at: String
        let ends: (identity: String, ending: Ledger.Ending)?
    }

    init(path: String, disk: Disk, note: @escaping Rollout.Note) {
        (self.path, self.disk, self.note) = (path, disk, note)
    }

    /// Opened when it is first needed, and tried again whenever that failed.
    mutating func opened() throws(RolloutError) -> Ledger {
        if let ledger { return ledger }
        do {
            let opened = try Ledger(path, disk: disk)
            ledger = opened
            return opened
        } catch { throw .ledger(error) }
    }

    /// - Parameter ends: the patch whose end the line tells; a process that ends between two writes would leave a patch
    ///   that ended and a history that does not say so.
    mutating func append(_ kind: String, _ body: [JSON.Member], ends: (identity: String, ending: Ledger.Ending)? = nil) {
        // A patch whose end is forgotten would be taken again.
        if owed.count < Self.mostOwed || ends != nil {
            owed.append(Owed(kind: kind, body: .object(body), at: WallClock.timestamp(), ends: ends))
        }
        do throws(RolloutError) {
            let ledger = try opened()
            while let line = owed.first {
                do { try ledger.append(line.kind, line.body, at: line.at, ends: line.ends) } catch { throw .ledger(error) }
                owed.removeFirst()
            }
        } catch {
            note(.warning, "history is not written", [("kind", kind), ("reason", error.message.en)])
        }
    }

    mutating func has(_ kind: String, _ body: [JSON.Member]) -> Bool {
        guard let ledger = try? opened() else { return false }
        return (try? ledger.has(kind, .object(body))) ?? false
    }

    mutating func record(of identity: String) throws(RolloutError) -> Ledger.Record {
        let ledger = try opened()
        let written: Ledger.Record
        do { written = try ledger.record(of: identity) } catch { throw .ledger(error) }
        guard let ending = owed.last(where: { $0.ends?.identity == identity })?.ends?.ending else { return written }
        return Ledger.Record(ending: ending, attempts: written.attempts)
    }

    mutating func countAttempt(of identity: String) throws(RolloutError) {
        let ledger = try opened()
        do { try ledger.countAttempt(of: identity) } catch { throw .ledger(error) }
    }

    mutating func forgetAttempts(of identity: String) {
        guard let ledger = try? opened() else { return }
        try? ledger.forgetAttempts(of: identity)
    }

    mutating func dossier(of version: String) -> JSON? {
        guard let ledger = try? opened() else { return nil }
        return (try? ledger.dossier(of: version)) ?? nil
    }

    /// Nothing is written where what is there cannot be read: it would be lost.
    mutating func changeDossier(of version: String, _ change: (inout [JSON.Member]) -> Void) {
        do throws(RolloutError) {
            let ledger = try opened()
            do throws(LedgerError) {
                var members = try ledger.dossier(of: version)?.members ?? []
                change(&members)
                try ledger.keepDossier(of: version, .object(members))
            } catch { throw .ledger(error) }
        } catch {
            note(.warning, "a dossier is not written", [("version", version), ("reason", error.message.en)])
        }
    }

    /// The newest lines that say what answers, oldest first.
    mutating func changesOfLive() -> [Ledger.Line] {
        guard let ledger = try? opened() else { return [] }
        return (try? ledger.lines(ofKinds: Dossier.kinds, newest: 1000)) ?? []
    }

    /// Of the newest line.
    mutating func head() -> Ledger.Line? {
        guard let ledger = try? opened() else { return nil }
        return (try? ledger.newest()) ?? nil
    }

    mutating func lines(after number: Int, limit: Int) throws(RolloutError) -> [Ledger.Line] {
        let ledger = try opened()
        do { return try ledger.lines(after: number, limit: limit) } catch { throw .ledger(error) }
    }
}
