public import Disk
public import Engine
public import Explain
public import Ledger
public import ModelFormat
public import ModelStore
public import PatchFormat
public import Signing

public enum RolloutError: Explained {
    case disk(DiskError)
    case format(ModelFormatError)
    case patch(PatchError)
    case signing(SigningError)
    case store(StoreError)
    case engine(EngineError)
    case ledger(LedgerError)
    case chain(ChainFault)
    /// Something of that name that is no file.
    case notAFile(name: String, found: String)
    /// The file is another one than the one whose signature was checked.
    case changedMeanwhile(name: String)
    /// It was begun before and never came to an end: it may be what ends the process.
    case triedTooOften(times: Int)
    /// The new version does not answer as one must.
    case prewarm(expected: String, found: String)
    /// The evidence spoke against it.
    case judged([Finding])
    /// What tries a candidate could not begin.
    case shadow(String)
    /// The operator took back what was tried.
    case takenBack(by: String, reason: String?)
    /// Promote and hold need something to be under way.
    case nothingToPromote
    /// An order to go back came while this was under way.
    case superseded(by: String)
    /// One at a time.
    case busy(with: String)
    /// Nothing answers yet.
    case warming

    public var message: Bilingual {
        func say(_ object: String, _ zh: String, _ expected: String, _ found: String) -> Bilingual {
            Bilingual("\(object): expected \(expected), found \(found)", zh: "\(zh)：应为 \(expected)，实为 \(found)")
        }
        switch self {
        case .disk(let error): return error.message
        case .format(let error): return error.message
        case .patch(let error): return error.message
        case .signing(let error): return error.message
        case .store(let error): return error.message
        case .engine(let error): return error.message
        case .ledger(let error): return error.message
        case .chain(let fault): return fault.message
        case .notAFile(let name, let found): return say(name, name, "an ordinary file", found)
        case .changedMeanwhile(let name):
            return Bilingual("\(name): it was changed while it was read", zh: "\(name)：读取期间文件发生了变化")
        case .triedTooOften(let times):
            return say("attempts", "尝试次数", "an end after at most \(times)", "none")
        case .prewarm(let expected, let found): return say("prewarm", "预热", expected, found)
        case .judged(let findings): return Verdict.rollBack(findings).message
        case .shadow(let reason): return say("shadow", "影子评测", "a process that tries the candidate", reason)
        case .takenBack(let by, let reason):
            let tail = reason.map { ": " + $0 } ?? ""
            return Bilingual("rolled back by \(by)\(tail)", zh: "由 \(by) 回滚\(tail)")
        case .nothingToPromote: return say("rollout", "上线流程", "a candidate in its shadow or at a stage", "none")
        case .superseded(let order): return Bilingual("superseded by \(order)", zh: "已被取代：\(order)")
        case .busy(let work): return say("rollout", "上线流程", "nothing under way", work)
        case .warming: return Bilingual("the model is being loaded", zh: "模型正在加载")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .disk(let error): error.hint
        case .format(let error): error.hint
        case .patch(let error): error.hint
        case .signing(let error): error.hint
        case .store(let error): error.hint
        case .engine(let error): error.hint
        case .ledger(let error): error.hint
        case .chain(let fault): fault.hint
        case .notAFile: Bilingual("copy the file itself", zh: "请复制文件本身")
        case .changedMeanwhile: Bilingual("it is looked into again once it is quiet", zh: "静止后会再次检查")
        case .triedTooOften: Bilingual("make the patch again; the history tells what happened", zh: "请重新制作补丁；历史中有经过")
        case .prewarm: Bilingual("measure the target before it is made into a patch", zh: "请先评测目标模型再制作补丁")
        case .judged: Bilingual("tiankong dossier has the figures", zh: "各项指标见 tiankong dossier")
        case .shadow: Bilingual("it is tried again in a minute", zh: "一分钟后重试")
        case .takenBack, .nothingToPromote: nil
        case .superseded: nil
        case .busy, .warming: Bilingual("try again in a moment", zh: "请稍后再试")
        }
    }

    public var detail: Detail? {
        switch self {
        case .format(let error): error.detail
        case .store(let error): error.detail
        case .engine(let error): error.detail
        case .prewarm(let expected, let found): Detail(field: "prewarm", expected: expected, found: found)
        default: nil
        }
    }
}

extension RolloutError {
    /// Whether the same manifest can never be right: the fault lies in what is signed. One that lies in how the file
    /// came here, in who is trusted or in this machine may be mended, and the same patch taken then.
    var endsIdentity: Bool {
        switch self {
        case .chain(let fault): fault.endsIdentity
        case .patch(let error), .store(.patch(let error)): error.endsIdentity
        case .store(.format), .format, .prewarm, .triedTooOften: true
        default: false
        }
    }

    /// For a receipt: what was found, and what to do about it.
    var inWords: String { [message.en, hint?.en].compactMap { $0 }.joined(separator: " · ") }

    /// Whether it may go better later without anybody's doing.
    public var isForNow: Bool {
        switch self {
        case .store(.noSpace), .store(.noMemory), .shadow: true
        case .disk(let error), .store(.disk(let error)), .patch(.disk(let error)): error.isFull
        // Without a record of it nothing is taken in; whatever keeps the ledger from being written may be mended.
        case .ledger: true
        default: false
        }
    }

    /// Whether it was tried, and taken back.
    var isRollback: Bool {
        switch self {
        case .judged, .takenBack: true
        default: false
        }
    }

    /// Whether it is about who signed.
    var isOfTrust: Bool {
        switch self {
        case .signing, .patch(.unsigned), .patch(.signing): true
        default: false
        }
    }

    /// Whether the bytes were other ones than their signed digests say: the file may still be being written.
    var isOfBytes: Bool {
        switch self {
        case .changedMeanwhile, .patch(.incomplete), .patch(.header), .patch(.trailing), .patch(.frameDigest): true
        case .store(.patch(.frameDigest)): true
        default: false
        }
    }
}

extension ChainFault {
    var message: Bilingual {
        func say(_ object: String, _ zh: String, _ expected: String, _ found: String) -> Bilingual {
            Bilingual("\(object): expected \(expected), found \(found)", zh: "\(zh)：应为 \(expected)，实为 \(found)")
        }
        switch self {
        case .replay(let epoch, let floor): return say("epoch", "序号", "more than \(floor), the line's floor", "\(epoch): a replay")
        case .fork(let base, let live): return say("base", "基准", "what is live, \(live.short)", "\(base.short), kept but not live: a fork")
        case .foreignLine(let expected, let found): return say("line", "版本线", "\(expected.short), the base's", found.short)
        case .epochJump(let epoch, let floor, let jump):
            return say("epoch", "序号", "at most \(floor + jump), \(jump) above the line's floor", "\(epoch)")
        case .notKept(let version): return say("version \(version.short)", "版本 \(version.short)", "one that is kept", "none")
        case .tooManyWaiting(let limit): return say("patches that wait for their base", "等待基准的补丁", "at most \(limit)", "one more")
        }
    }

    var hint: Bilingual? {
        switch self {
        case .replay: Bilingual("to go back: tiankong rollback, or a signed order", zh: "若要回退：tiankong rollback，或签名的回滚命令")
        case .fork: Bilingual("make the patch again from what is live", zh: "请以线上版为基准重新制作补丁")
        case .foreignLine: Bilingual("it was made for another import of this model", zh: "它是为另一次导入制作的")
        case .epochJump: Bilingual("a wrong epoch, or a leaked key? trust.epoch_jump is the limit", zh: "序号有误，或密钥泄露？上限为 trust.epoch_jump")
        case .notKept: Bilingual("tiankong versions lists them", zh: "可用 tiankong versions 查看")
        case .tooManyWaiting: Bilingual("drop the patches they wait for first", zh: "请先投放它们所等待的补丁")
        }
    }
}
