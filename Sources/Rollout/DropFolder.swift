import Explain
import Disk
import Ledger
import ModelFormat
import PatchFormat
import Signing
import StrictJSON

/// A file in the drop folder as it stands now.
struct DroppedFile {
    var entry: FolderHandle.Entry
    var settling: Settling
    /// Good, and waiting for its turn.
    var known: Known?
    /// The receipt as it was last written.
    var receipt: Receipt
    /// Not before then: something is missing that may come by itself.
    var notBefore: Duration?
    var wasRefusedForTrust = false
    /// Until its trial has said its last word, be it superseded.
    var isInTrial = false
    /// Another file has its name by now, or none.
    var isGone = false

    struct Known {
        let identity: Digest
        let signer: String?
        let claim: Claim
    }
}

extension Rollout {
    private static let mostStrange = 256

    /// Looks at what is in the folder now and into what may be looked into. Everything that an event could say is found
    /// this way, so events only say when.
    func look() {
        guard let folder = openFolder() else { return }
        let names: [String]
        do { names = try folder.names() } catch {
            return note(.warning, "the drop folder cannot be listed", [("reason", error.message.en)])
        }
        forgiveWhereTrustChanged()
        var here: Set<String> = []
        var next: Duration?
        for name in names {
            switch DropName(name) {
            case .unspoken: continue
            case .strange(let expected): leaveAlone(name, expected)
            case .patch:
                guard let entry = folder.entry(name) else { continue }
                here.insert(name)
                if let due = look(at: name, entry, in: folder) { next = min(next ?? due, due) }
            }
        }
        for name in dropped.keys where !here.contains(name) { dropped[name] = nil }
        strange.formIntersection(names)
        if let next { lookAgain(in: max(.milliseconds(10), next - now)) }
    }

    /// - Returns: when it is to be looked at again, if at all.
    private func look(at name: String, _ entry: FolderHandle.Entry, in folder: FolderHandle) -> Duration? {
        var file = dropped[name] ?? DroppedFile(
            entry: entry, settling: Settling(entry, at: now), receipt: Receipt(file: name, status: .verifying))
        defer { dropped[name] = file }
        if file.settling.saw(entry, at: now) {
            file = DroppedFile(entry: entry, settling: file.settling, receipt: Receipt(file: name, status: .verifying))
        }
        if let notBefore = file.notBefore, notBefore > now { return notBefore }
        switch file.settling.next(at: now, settle: settings.settle) {
        // A writer that keeps its file open says nothing until it closes it.
        case .rest: return file.receipt.status == .incomplete ? now + .seconds(2) : nil
        case .wait(let until): return until
        case .look: break
        }
        do throws(RolloutError) {
            try examine(name, &file, in: folder)
            file.settling.accept()
            return nil
        } catch {
            guard file.settling.fault(at: now, settle: settings.settle) else {
                if case .wait(let until) = file.settling.next(at: now, settle: settings.settle) { return until }
                return nil
            }
            if error.isForNow {
                hold(name, &file, error)
                file.settling.again()
                return file.notBefore
            }
            if case .patch(.incomplete) = error {
                file.receipt.reason = error.message.en
                tell(name, &file, .incomplete)
                return now + .seconds(2)
            } else {
                refuse(name, &file, error)
            }
            return nil
        }
    }

    /// The folder, opened anew when its name stands for another one.
    private func openFolder() -> FolderHandle? {
        if let folder, folder.isInPlace { return folder }
        folder = nil
        dropped = [:]
        do {
            let opened = try FolderHandle(settings.drop)
            try? opened.removeLeftovers(of: Receipt.suffix)
            folder = opened
            if isFolderTold { note(.info, "the drop folder is there again", [("folder", settings.drop)]) }
            isFolderTold = false
            return opened
        } catch {
            if !isFolderTold { note(.warning, "no drop folder", [("folder", settings.drop), ("reason", error.message.en)]) }
            isFolderTold = true
            return nil
        }
    }

    /// Somebody mended the trust list: what was refused for want of trust is looked into again.
    private func forgiveWhereTrustChanged() {
        let stamp = disk.stamp(of: settings.allowedSigners)
        defer { trustStamp = stamp }
        guard let before = trustStamp, before != stamp else { return }
        for (name, file) in dropped where file.receipt.status == .refused && file.wasRefusedForTrust {
            change(name) { $0.settling.again() }
        }
    }

    private func leaveAlone(_ name: String, _ expected: String) {
        guard strange.count < Self.mostStrange, strange.insert(name).inserted else { return }
        let found = String(name.prefix(220))
        let body: [JSON.Member] = [.init("file", .string(found)), .init("reason", .string("expected \(expected)"))]
        // One line, not one a start.
        if book.has("left-alone", body) { return }
        note(.info, "left alone", [("file", found), ("expected", expected)])
        record("left-alone", body)
    }

    // MARK: - One file

    /// The header, the signature, and then what was signed; nothing of the frames. What is read is a private copy.
    ///
    /// - Throws: why it is no patch, or not yet one.
    private func examine(_ name: String, _ file: inout DroppedFile, in folder: FolderHandle) throws(RolloutError) {
        guard file.entry.kind == .file else { throw .notAFile(name: name, found: file.entry.kind.rawValue) }
        let head = try head(of: name, size: file.entry.size, in: folder)
        file.receipt.identity = head.identity
        if let ending = try book.record(of: "\(head.identity)").ending {
            return meetAgain(name, &file, head.identity, ending, in: folder)
        }
        guard file.entry.size <= head.header.whole else {
            throw .patch(.trailing(file: name, expected: head.header.whole, found: file.entry.size))
        }
        let trust = try trust()
        let (manifest, signer): (PatchManifest, String?)
        do { (manifest, signer) = try head.opened(trust) } catch { throw .patch(error) }
        let claim = Claim(manifest)
        file.receipt.claim = claim
        file.receipt.signer = signer
        file.known = .init(identity: head.identity, signer: signer, claim: claim)
    }

    private func head(of name: String, size: Int, in folder: FolderHandle) throws(RolloutError) -> PatchHead {
        do {
            let first = try folder.read(name, first: PatchHeader.size)
            let header = try PatchHeader(first, file: name)
            guard size >= header.whole else { throw PatchError.incomplete(file: name, expected: header.whole, found: size) }
            return try PatchHead(try folder.read(name, first: header.framesStart), name: name)
        } catch let error as PatchError {
            throw .patch(error)
        } catch let error as DiskError {
            throw .disk(error)
        } catch { preconditionFailure("nothing else is thrown above: \(error)") }
    }

    /// What ended once is never taken again. A file whose own receipt says how it ended is left as it is.
    func meetAgain(
        _ name: String, _ file: inout DroppedFile, _ identity: Digest, _ ending: Ledger.Ending, in folder: FolderHandle
    ) {
        let before = Receipt.read(for: name, in: folder)
        if let before, before.identity == identity {
            file.receipt.status = before.status
            file.receipt.before = before.json
            let status = Receipt.Status(rawValue: ending.rawValue) ?? .duplicate
            // What happened while nobody was there to write it: a rollback without a service, an end of the process.
            if before.status != status, before.status != .duplicate { tell(name, &file, status) }
            return
        }
        file.receipt.reason = "this patch was met before, and ended as \(ending.rawValue)"
        tell(name, &file, .duplicate)
        record(
            "duplicate",
            [.init("file", .string(name)), .init("identity", .string("\(identity)")), .init("ended", .string(ending.rawValue))])
        metrics.change { $0.patches["duplicate", default: 0] += 1 }
    }

    /// Who is trusted now: read anew each time. A key's end is judged by the latest time that anything here knows, so
    /// that a clock that lost its battery makes no key valid again.
    func trust() throws(RolloutError) -> Trust {
        let newest = book.head().flatMap { WallClock.seconds(of: $0.at) } ?? 0
        let now = max(WallClock.seconds, WallClock.release, newest)
        let signers: AllowedSigners
        do {
            let text = disk.exists(settings.allowedSigners)
                ? String(decoding: try disk.read(settings.allowedSigners, atMost: 1 << 20), as: UTF8.self) : ""
            signers = try AllowedSigners(text, file: settings.allowedSigners)
        } catch let error as SigningError {
            throw .signing(error)
        } catch let error as DiskError {
            throw .disk(error)
        } catch { preconditionFailure("nothing else is thrown above: \(error)") }
        return settings.allowsUnsigned ? .signersOrUnsigned(signers, now: now) : .signers(signers, now: now)
    }

    // MARK: - Telling

    /// Writes the receipt; a folder that we may not write to costs the receipt and nothing else.
    func tell(_ name: String, _ file: inout DroppedFile, _ status: Receipt.Status) {
        if file.receipt.status != status { file.receipt.since = WallClock.timestamp() }
        file.receipt.status = status
        // One that is gone has nobody waiting for its receipt.
        guard let folder, !file.isGone, folder.entry(name) != nil else { return }
        var bytes: [UInt8] = []
        file.receipt.json(historyHead: book.head()?.hash).write(to: &bytes, indent: 0)
        bytes.append(0x0A)
        do { try folder.replace(name + Receipt.suffix, with: bytes, disk: disk) } catch {
            note(.warning, "no receipt", [("file", name), ("reason", error.message.en)])
        }
    }

    /// - Parameter staged: its private copy, for the quarantine; nil: one is made.
    func refuse(_ name: String, _ file: inout DroppedFile, _ error: RolloutError, staged: String? = nil) {
        file.known = nil
        file.wasRefusedForTrust = error.isOfTrust
        file.receipt.reason = error.inWords
        if wasToldAlready(name, file) {
            file.receipt.status = .refused
            return
        }
        setAside(name, file.entry, staged)
        var body = history(of: file)
        body.append(.init("reason", .string(error.message.en)))
        record("refused", body, ends: error.endsIdentity ? file.receipt.identity.map { ($0, .refused) } : nil)
        tell(name, &file, .refused)
        metrics.change { $0.patches["refused", default: 0] += 1 }
        note(.warning, "refused", [("file", name), ("reason", error.message.en)])
    }

    /// An earlier process has said just this of just this file.
    private func wasToldAlready(_ name: String, _ file: DroppedFile) -> Bool {
        guard let folder, let told = folder.entry(name + Receipt.suffix), told.modified >= file.entry.changed,
            let before = Receipt.read(for: name, in: folder)
        else { return false }
        return before.status == .refused && before.identity == file.receipt.identity
            && before.json["reason"]?.string == file.receipt.reason
    }

    private func setAside(_ name: String, _ entry: FolderHandle.Entry, _ staged: String?) {
        guard entry.kind == .file else { return }
        do throws(DiskError) {
            var copy = staged
            if copy == nil, let folder, entry.size <= 256 << 20, try disk.freeBytes(at: settings.state) > 4 * entry.size {
                try disk.makeFolder(staging, mode: 0o700)
                copy = staging + "/refused"
                try folder.copy(name, to: staging + "/refused", atMost: 256 << 20, disk: disk)
            }
            if let copy, disk.exists(copy) { try quarantine.take(copy, named: name) }
        } catch {
            note(.info, "no copy in the quarantine", [("file", name), ("reason", error.message.en)])
            if let staged { try? disk.remove(staged) }
        }
    }

    /// What a history line says of a dropped file.
    func history(of file: DroppedFile) -> [JSON.Member] {
        let receipt = file.receipt.json(historyHead: nil).members ?? []
        return receipt.filter { member in
            if case .null = member.value { return false }
            if member.key == "steps", member.value.elements?.isEmpty == true { return false }
            return !["status", "since", "history_head", "reason", "missing"].contains(member.key)
        }
    }
}
