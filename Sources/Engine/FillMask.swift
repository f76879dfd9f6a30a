public import ModelFormat
import Synchronization
public import Tokenizer

/// A version ready to answer: tokenizer, weights and the pool that computes. Immutable; any number of callers may ask
/// at once, and each question sees this version from its tokens to its answer.
public final class FillMask: Sendable {
    /// A text may not have more blanks: the answer's size is their number times `topK`.
    public static let mostBlanks = 32
    /// Tokens that are computed together when several questions are asked at once.
    private static let tokensTogether = 256

    public let tokenizer: Tokenizer
    public var contents: ModelContents { model.contents }
    public var pool: WorkerPool { workers }
    let model: Model
    let workers: WorkerPool
    /// Ids that are no answer to a person (`Question.Candidates.words`).
    let unspeakable: [Int32]
    /// By id: whether a piece can be part of a word of several. Punctuation is none: what a person looks for is 生效, not 有。
    let isOfWords: [Bool]
    public let calibration: Calibration
    private let cache: AnswerCache
    private let site = Mutex(TermTable.none)

    /// A site's own words, which `span` n and `auto` always consider.
    public var terms: TermTable {
        get { site.withLock { $0 } }
        set {
            site.withLock { $0 = newValue }
            cache.forget()
        }
    }

    /// - Parameters:
    ///   - packed: of `PackedMatrix.all(of: contents)`; nil: they are packed here, in memory.
    ///   - other: a version whose tokenizer is shared where both have the same.
    ///   - cacheBytes: for answers to questions that come again; 0: each is computed.
    public init(
        _ contents: ModelContents, packed: PackedWeights? = nil, pool: WorkerPool, sharing other: FillMask? = nil,
        cacheBytes: Int = 4 << 20
    ) throws(EngineError) {
        workers = pool
        cache = AnswerCache(limit: cacheBytes)
        let packed = packed ?? PackedWeights(PackedMatrix.all(of: contents).map { ($0.tensor.name, $0.packed(pool.kernels)) })
        model = try Model(contents, packed: packed, kernels: pool.kernels)
        do { calibration = try contents.readCalibration() } catch { throw .calibration(error) }
        if let other, Self.areSame(other.contents.pieces, contents.pieces), other.contents.tokenizer == contents.tokenizer {
            tokenizer = other.tokenizer
            (unspeakable, isOfWords) = (other.unspeakable, other.isOfWords)
            terms = other.terms
            return
        }
        let vocabulary: Vocabulary
        do { vocabulary = try Vocabulary(pieces: contents.pieces) } catch { throw .vocabulary(error) }
        tokenizer = Tokenizer(
            vocabulary: vocabulary,
            options: TokenizerOptions(
                lowercase: contents.tokenizer.lower, stripAccents: contents.tokenizer.accents,
                splitChinese: contents.tokenizer.cjk))
        unspeakable = contents.pieces.indices.lazy.filter { index in
            let piece = contents.pieces[index].utf8
            return piece.starts(with: "##".utf8) && piece.count > 2
                || piece.first == UInt8(ascii: "[") && piece.last == UInt8(ascii: "]") && piece.count > 2
        }.map(Int32.init)
        isOfWords = contents.pieces.map { piece in
            piece.unicodeScalars.contains { $0.properties.isAlphabetic || $0.properties.numericType != nil }
        }
    }

    /// Byte by byte: `String` would call pieces equal that Unicode calls equivalent.
    private static func areSame(_ one: [String], _ other: [String]) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy { $0.utf8.elementsEqual($1.utf8) }
    }

    /// - Throws: `EngineError`: the text or a target cannot be answered, the queue is full, or the task was cancelled.
    public func answer(_ question: Question) async throws(EngineError) -> Answer {
        if !question.isFresh, let known = cache.answer(to: question) {
            // Who asks the same for ever must not hold a thread of Swift's pool for ever.
            await Task.yield()
            return known
        }
        let encoding = try encode(question)
        let era = cache.era
        let answer =
            question.isOfWords(blanks: encoding.blanks.count)
            ? try await fill(question, encoding) : try await pieces(question, encoding)
        if !question.isFresh { cache.keep(answer, to: question, of: era) }
        return answer
    }

    /// One piece a blank, each blank by itself.
    func pieces(_ question: Question, _ encoding: Encoding) async throws(EngineError) -> Answer {
        var batch = Batch()
        batch.append(encoding.ids, blanks: encoding.blanks)
        let job = Job(
            batch, model: model, wanted: try wanted(question), precision: question.precision, client: question.client)
        try await workers.run(job)
        return answer(encoding, job, firstBlank: 0)
    }

    /// Several questions as one ragged batch wherever they want the same; each has its own outcome, in their order.
    /// A bad question does not disturb its neighbours.
    ///
    /// - Parameter inBackground: everybody else's questions go first (`WorkerPool`), and each is computed.
    public func answer(_ questions: [Question], inBackground: Bool = false) async -> [Result<Answer, EngineError>] {
        var outcomes: [Result<Answer, EngineError>?] = Array(repeating: nil, count: questions.count)
        let era = cache.era
        var group = Group()
        var wordy: [(index: Int, question: Question, encoding: Encoding)] = []
        for (index, question) in questions.enumerated() {
            if !inBackground, !question.isFresh, let known = cache.answer(to: question) {
                outcomes[index] = .success(known)
                continue
            }
            do throws(EngineError) {
                let encoding = try encode(question)
                if question.isOfWords(blanks: encoding.blanks.count) {
                    wordy.append((index, question, encoding))
                    continue
                }
                let wanted = try wanted(question)
                let fits = group.batch.ids.count + encoding.ids.count <= Self.tokensTogether
                if let first = group.wanted, !fits || !first.asks(like: wanted) || group.precision != question.precision {
                    await finish(&group, &outcomes, inBackground)
                }
                (group.wanted, group.precision, group.client) = (wanted, question.precision, question.client)
                group.members.append((index, encoding, group.batch.blanks.count))
                group.batch.append(encoding.ids, blanks: encoding.blanks)
            } catch {
                outcomes[index] = .failure(error)
            }
        }
        await finish(&group, &outcomes, inBackground)
        for (index, outcome) in await fill(wordy) { outcomes[index] = outcome }
        await Task.yield()
        for (question, outcome) in zip(questions, outcomes) {
            if !question.isFresh, case .success(let answer)? = outcome { cache.keep(answer, to: question, of: era) }
        }
        return outcomes.map { $0 ?? .failure(.cancelled) }
    }

    /// Gives the pages of exact weights back to the page cache, where nothing was computed in fp32 since the last time:
    /// serving `fast`, a few rows of them are looked at for each question, and the kernel maps sixteen pages around each.
    public func letGoOfExactWeights() {
        guard model.exactPasses.exchange(0, ordering: .relaxed) == 0 else { return }
        for tensor in contents.tensors { tensor.letGo() }
    }

    /// Logits over the whole vocabulary at each `[MASK]`, for texts given as token ids: for tests and tools.
    ///
    /// - Returns: `[blanks of all sequences, in order][vocabulary]`
    package func logits(
        _ sequences: [[Int32]], precision: Precision = .exact
    ) async throws(EngineError) -> [[Float]] {
        let batch = batch(of: sequences)
        let job = try await run(batch, Wanted(top: 1, everyLogit: true), precision)
        let vocabulary = contents.shape.vocabulary
        return batch.blanks.indices.map { Array(job.logits[$0 * vocabulary..<($0 + 1) * vocabulary]) }
    }

    func batch(of sequences: [[Int32]]) -> Batch {
        var batch = Batch()
        let mask = tokenizer.vocabulary.mask
        for ids in sequences { batch.append(ids, blanks: ids.indices.filter { ids[$0] == mask }) }
        return batch
    }

    func run(_ batch: Batch, _ wanted: Wanted, _ precision: Precision) async throws(EngineError) -> Job {
        let job = Job(batch, model: model, wanted: wanted, precision: precision)
        try await workers.run(job)
        return job
    }
}

// MARK: - From text to job and back

extension FillMask {
    private struct Group {
        var batch = Batch()
        var wanted: Wanted?
        var precision = Precision.fast
        var client: UInt64 = 0
        var members: [(index: Int, encoding: Encoding, firstBlank: Int)] = []
    }

    private func finish(
        _ group: inout Group, _ outcomes: inout [Result<Answer, EngineError>?], _ inBackground: Bool
    ) async {
        guard let wanted = group.wanted else { return }
        let job = Job(group.batch, model: model, wanted: wanted, precision: group.precision, client: group.client)
        let outcome: Result<Void, EngineError>
        do {
            try await workers.run(job, inBackground: inBackground)
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        for member in group.members {
            outcomes[member.index] = outcome.map { answer(member.encoding, job, firstBlank: member.firstBlank) }
        }
        group = Group()
    }

    package func encode(_ question: Question) throws(EngineError) -> Encoding {
        let encoding: Encoding
        do {
            encoding = try tokenizer.encode(question.text, folding: question.folding, limit: contents.shape.positions)
        } catch {
            throw .text(error)
        }
        guard !encoding.blanks.isEmpty else { throw .noBlank }
        guard encoding.blanks.count <= Self.mostBlanks else {
            throw .tooManyBlanks(found: encoding.blanks.count, limit: Self.mostBlanks)
        }
        return encoding
    }

    func temperature(of question: Question) -> Float { question.temperature ?? Float(calibration.temperature) }

    private func wanted(_ question: Question) throws(EngineError) -> Wanted {
        var wanted = Wanted(top: min(question.topK, contents.shape.vocabulary), temperature: temperature(of: question))
        if let targets = question.targets {
            wanted.targets = try ids(of: targets, folding: question.folding)
            wanted.top = 0
            wanted.topTargets = question.topK
        } else if question.candidates == .words {
            wanted.excluded = unspeakable
        }
        return wanted
    }

    /// Each target once, in vocabulary order: a piece as it stands, else the single piece the tokenizer makes of it.
    private func ids(of targets: [String], folding: CaseFolding) throws(EngineError) -> [Int32] {
        var ids: Set<Int32> = []
        let vocabulary = tokenizer.vocabulary
        for (index, target) in targets.enumerated() {
            if let id = vocabulary.id(of: target) {
                ids.insert(id)
                continue
            }
            let pieces: ArraySlice<Int32>
            do {
                pieces = try tokenizer.encode(target, folding: folding, limit: 64).ids.dropFirst().dropLast()
            } catch {
                throw .text(error)
            }
            guard pieces.count == 1, let id = pieces.first, id != vocabulary.unknown else {
                throw .unknownTarget(index: index, text: target, pieces: pieces.map { vocabulary[Int($0)] })
            }
            ids.insert(id)
        }
        return ids.sorted()
    }

    private func answer(_ encoding: Encoding, _ job: Job, firstBlank: Int) -> Answer {
        let blanks = encoding.blanks.enumerated().map { number, position in
            Answer.Blank(
                start: Int(encoding.starts[position]), end: Int(encoding.ends[position]), position: position,
                candidates: candidates(job, blank: firstBlank + number))
        }
        return Answer(tokens: encoding.ids, blanks: blanks)
    }

    private func candidates(_ job: Job, blank: Int) -> [Answer.Candidate] {
        let wanted = job.wanted
        var scored: [(id: Int32, logit: Float)]
        if wanted.targets.isEmpty {
            let row = blank * wanted.top..<blank * wanted.top + job.found[blank]
            scored = row.map { (job.topIds[$0], job.topLogits[$0]) }
        } else {
            scored = wanted.targets.enumerated().map { ($1, job.targetLogits[blank * wanted.targets.count + $0]) }
            scored.sort { $0.logit != $1.logit ? $0.logit > $1.logit : $0.id < $1.id }
            scored = Array(scored.prefix(wanted.topTargets))
        }
        return scored.map { id, logit in
            Answer.Candidate(
                text: tokenizer.pieceText(id), score: job.probability(of: logit, blank: blank), tokens: [id])
        }
    }
}
