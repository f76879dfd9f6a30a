import Disk
import Engine
import Explain
import Logging
import Rollout
import StrictJSON
import Synchronization
import Terms

/// The site's own words, as the files of the terms folder have them now, and as each version's tokenizer cuts them.
final class SiteTerms: Sendable {
    private struct State {
        var stamp: TermStamp?
        var list = TermList()
        /// Of the list; a version that has another one's table gets its own anew.
        var generation = 0
    }
    private let state = Mutex(State())
    private let building = Mutex(())
    private let folder: String

    init(folder: String) { self.folder = folder }

    var list: TermList { state.withLock { $0.list } }

    /// Reads the files again where they have changed.
    ///
    /// - Returns: the list, where it is another one than before.
    func look() -> TermList? {
        let stamp = TermList.stamp(folder: folder)
        guard state.withLock({ $0.stamp != stamp }) else { return nil }
        let list = TermList.read(folder: folder, disk: Disk())
        return state.withLock { state in
            state.stamp = stamp
            guard state.list != list else { return nil }
            state.list = list
            state.generation += 1
            return list
        }
    }

    /// Gives a version the words, where it does not have them: ten thousand take some tens of milliseconds, once.
    func dress(_ fillMask: FillMask) {
        guard fillMask.terms.generation != state.withLock({ $0.generation }) else { return }
        building.withLock { _ in
            let (list, generation) = state.withLock { ($0.list, $0.generation) }
            guard fillMask.terms.generation != generation else { return }
            fillMask.terms = TermTable(
                list.terms.map { ($0.text, $0.weight) }, tokenizer: fillMask.tokenizer, generation: generation)
        }
    }

    /// `{"count","skipped","faults"}` of `/v1/status`: terms that are considered, those that the version has no pieces for, and
    /// lines that are none.
    func json(_ fillMask: FillMask) -> JSON {
        dress(fillMask)
        let (list, table) = (list, fillMask.terms)
        return [
            "count": .integer(Int64(table.count)), "skipped": .integer(Int64(table.unknown)),
            "faults": .integer(Int64(list.faults.count + list.furtherFaults)),
        ]
    }
}

extension Appliance {
    /// Called whenever something may have changed in a watched folder.
    @Sendable func lookAtTerms() {
        guard let list = terms.look() else { return }
        logger.info("terms read", metadata: ["terms": "\(list.terms.count)", "files": "\(list.files)"])
        for fault in list.faults {
            logger.warning(
                "bad line of terms, skipped",
                metadata: ["file": "\(fault.file)", "line": "\(fault.line)", "reason": "\(fault.message.en)"])
        }
        dressVersions()
    }

    /// What answers considers the terms that were read.
    func dressVersions() {
        for version in [rollout.models.live, rollout.models.snapshot] {
            if let version { terms.dress(version.fillMask) }
        }
    }
}
