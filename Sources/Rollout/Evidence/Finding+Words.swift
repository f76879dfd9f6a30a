public import Explain
public import StrictJSON

extension Finding {
    /// In words, with the numbers that decided.
    public var message: Bilingual {
        func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10)" }
        func ms(_ time: Double) -> String { "\((time * 100).rounded() / 100) ms" }
        func named(_ suite: String?) -> Bilingual {
            suite.map { Bilingual("suite \($0)", zh: "题集 \($0)") } ?? Bilingual("all suites together", zh: "全部题集合计")
        }
        switch self {
        case .failures(let test):
            return Bilingual(
                "failures: expected at most \(percent(FailureTest.acceptable)) % of answers, found \(test.failures) of \(test.answers)",
                zh: "失败：应不超过回答数的 \(percent(FailureTest.acceptable)) %，实为 \(test.answers) 次中 \(test.failures) 次")
        case .quality(let suite, let measure, let counts):
            let what = measure == .first ? Bilingual("right first", zh: "首选正确") : Bilingual("right among three", zh: "前三命中")
            let (drop, limit) = (percent(counts.drop), percent(PairedCounts.tolerated(rows: counts.rows)))
            return Bilingual(
                "\(named(suite).en), \(what.en): expected a drop of at most \(limit) points, found \(drop) (\(counts.lost) lost, \(counts.gained) gained of \(counts.rows))",
                zh: "\(named(suite).zh)，\(what.zh)：下降应不超过 \(limit) 个百分点，实为 \(drop)（\(counts.rows) 题中失 \(counts.lost)、得 \(counts.gained)）")
        case .overconfident(let suite, let excess):
            return Bilingual(
                "\(named(suite).en): expected confidence to match what is right, found it \(percent(excess)) points surer of itself than before, without being righter",
                zh: "\(named(suite).zh)：置信度应与正确率相符，实际比之前虚高 \(percent(excess)) 个百分点")
        case .unsure(let counts):
            return Bilingual(
                "recent questions: expected the candidate to be as sure as the live version, found \(counts.lost) of \(counts.rows) no longer answered with 50 %",
                zh: "近期问题：待上线版应与线上版同样有把握，实际 \(counts.rows) 题中 \(counts.lost) 题不再达到 50 %")
        case .slower(let summary):
            return Bilingual(
                "time: expected at most \(LatencyPairs.Summary.tolerated) times the live version's on the same questions, found \((summary.ratio * 100).rounded() / 100)",
                zh: "用时：同题应不超过线上版的 \(LatencyPairs.Summary.tolerated) 倍，实为 \((summary.ratio * 100).rounded() / 100) 倍")
        case .slowest(let summary):
            return Bilingual(
                "time: expected about as many questions as of the live version (\(summary.liveBeyond)) to take more than \(ms(1.5 * summary.liveP99)) and far longer than the other's, found \(summary.candidateBeyond)",
                zh: "用时：超过 \(ms(1.5 * summary.liveP99)) 且远慢于对方的问题应与线上版相当（\(summary.liveBeyond) 个），实为 \(summary.candidateBeyond) 个")
        case .beyondDeadline(let p99, let limit):
            return Bilingual(
                "time: expected 99 of 100 answers within \(ms(limit)), a quarter of the deadline, found \(ms(p99))",
                zh: "用时：百分之九十九的回答应在 \(ms(limit)) 内（期限的四分之一），实为 \(ms(p99))")
        case .memory(let left):
            return Bilingual(
                "memory: expected \(Verdict.memoryWanted >> 20) MiB to be left, found \(left >> 20)",
                zh: "内存：应余 \(Verdict.memoryWanted >> 20) MiB，实余 \(left >> 20) MiB")
        case .broke(let reason):
            return Bilingual("the trial's process: expected it to answer, found that it \(reason)", zh: "试运行进程：应能作答，实际\(reason)")
        case .tripped(let trip):
            return Bilingual(
                "failures after the commit: expected at most \(percent(Breaker.rate)) % of the last answers, found \(trip.failures) of \(trip.answers)",
                zh: "上线后的失败：应不超过最近回答数的 \(percent(Breaker.rate)) %，实为 \(trip.answers) 次中 \(trip.failures) 次")
        case .disapproved(let candidate, let of, let live, let ofLive):
            return Bilingual(
                "called wrong: expected as rarely as the live version (\(live) of \(ofLive)), found \(candidate) of \(of)",
                zh: "被标记为错误：应与线上版相当（\(ofLive) 次中 \(live) 次），实为 \(of) 次中 \(candidate) 次")
        case .shadowUnfinished:
            return Bilingual("the shadow has not answered everything yet", zh: "影子评测尚未完成")
        case .failuresOpen(let answers):
            return Bilingual(
                "failures: expected \(FailureTest.cleanAnswers) answers without one, found \(answers) answers in all",
                zh: "失败检验：需要 \(FailureTest.cleanAnswers) 次无失败的回答，目前共 \(answers) 次")
        case .fewQuestions(let found, let wanted):
            return Bilingual("live questions at this stage: expected \(wanted), found \(found)", zh: "本阶段线上提问：应有 \(wanted) 个，实为 \(found) 个")
        case .fewClients(let found, let wanted):
            return Bilingual("clients at this stage: expected \(wanted), found \(found)", zh: "本阶段客户端：应有 \(wanted) 个，实为 \(found) 个")
        }
    }

    /// The kind in one word, for counting.
    public var kind: String {
        switch self {
        case .failures: "failures"
        case .quality: "quality"
        case .overconfident: "overconfident"
        case .unsure: "unsure"
        case .slower, .slowest, .beyondDeadline: "latency"
        case .memory: "memory"
        case .broke: "crash"
        case .tripped: "breaker"
        case .disapproved: "disapproved"
        case .shadowUnfinished: "shadow-unfinished"
        case .failuresOpen: "failures-open"
        case .fewQuestions: "few-questions"
        case .fewClients: "few-clients"
        }
    }
}

extension Verdict {
    public var message: Bilingual {
        let parts = findings.map(\.message)
        func joined(_ head: Bilingual) -> Bilingual {
            parts.isEmpty ? head
                : Bilingual(
                    "\(head.en): \(parts.map(\.en).joined(separator: "; "))", zh: "\(head.zh)：\(parts.map(\.zh).joined(separator: "；"))")
        }
        switch self {
        case .promote: return Bilingual("nothing speaks against it", zh: "没有不利证据")
        case .rollBack: return joined(Bilingual("rolled back", zh: "回滚"))
        case .notEnough: return joined(Bilingual("not enough evidence", zh: "证据不足"))
        }
    }

    public var json: JSON {
        [
            "verdict": .string(word),
            "reasons": .array(findings.map { ["kind": .string($0.kind), "text": .string($0.message.en)] }),
        ]
    }
}
