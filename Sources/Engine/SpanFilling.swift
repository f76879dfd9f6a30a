import Glibc
import ModelFormat
package import Tokenizer

/// Words for blanks: what `SpanSearch` and `JointSearch` want to know is asked of the pool, a ragged batch a round.
extension FillMask {
    /// A text with more blanks is not filled as a whole.
    public static let mostJoint = 4

    /// A blank in a text of which the others have become what they are taken for.
    private struct Context {
        let before, after: ArraySlice<Int32>
        /// What the question's blank becomes is put between the two.
        func ids(_ middle: [Int32]) -> [Int32] { Array(before) + middle + Array(after) }
    }

    /// - Parameter words: to be scored instead of the question's targets.
    package func fill(
        _ question: Question, _ encoding: Encoding, words: [SpanSearch.Word]? = nil
    ) async throws(EngineError) -> Answer {
        if question.span == .one {
            var answer = try await pieces(question, encoding)
            answer.joint = try await joint(question, encoding, lengths: encoding.blanks.map { _ in (1, 0) })
            return answer
        }
        let words = if let words { words } else { try targetWords(question) }
        var blanks: [Answer.Blank] = []
        var likeliest: [(length: Int, logP: Float)] = []
        for (number, position) in encoding.blanks.enumerated() {
            let (candidates, length) = try await candidates(question, encoding, blank: number, words: words)
            likeliest.append(length)
            blanks.append(
                Answer.Blank(
                    start: Int(encoding.starts[position]), end: Int(encoding.ends[position]), position: position,
                    candidates: candidates))
        }
        var answer = Answer(tokens: encoding.ids, blanks: blanks)
        if question.wantsJoint(blanks: encoding.blanks.count) {
            answer.joint = try await joint(question, encoding, lengths: likeliest)
        }
        return answer
    }

    /// Several at the same time: their rounds are small, and join in passes.
    func fill(
        _ questions: [(index: Int, question: Question, encoding: Encoding)]
    ) async -> [(index: Int, outcome: Result<Answer, EngineError>)] {
        let lanes = min(4, questions.count)
        return await withTaskGroup(of: [(Int, Result<Answer, EngineError>)].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var mine: [(Int, Result<Answer, EngineError>)] = []
                    for place in stride(from: lane, to: questions.count, by: lanes) {
                        let (index, question, encoding) = questions[place]
                        do throws(EngineError) { mine.append((index, .success(try await self.fill(question, encoding)))) } catch {
                            mine.append((index, .failure(error)))
                        }
                    }
                    return mine
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// - Returns: the candidates, and the likeliest length with its log probability.
    private func candidates(
        _ question: Question, _ encoding: Encoding, blank: Int, words: [SpanSearch.Word]?
    ) async throws(EngineError) -> ([Answer.Candidate], (length: Int, logP: Float)) {
        let terms = words == nil ? self.terms : TermTable.none
        let context = context(question, encoding, blank: blank)
        let lengths = try lengths(question, context, words: words, terms: terms)
        var wanted = wantedOfSpans(question)
        (wanted.sureness, wanted.everyLogit) = (true, terms.count > 0)
        wanted.targets = Array(Set((words ?? []).flatMap(\.pieces))).sorted()
        let (batch, ranges) = masked(lengths, context)
        let first = try await run(batch, wanted, question)
        let (starts, likeliest) = starts(lengths, ranges, first, question)
        var search = SpanSearch(
            starts, words: words ?? terms.words, boosts: terms.boosts, top: question.topK,
            limits: question.limits ?? (terms.count > 0 ? .withTerms : SpanSearch.Limits()))
        while true {
            let asked = search.next()
            if asked.isEmpty { break }
            for (partial, position) in try await expand(asked, search, context, question) { search.tell(partial, position) }
        }
        let found = search.fills.map { fill in
            Answer.Candidate(text: tokenizer.word(of: fill.pieces), score: fill.score, tokens: fill.pieces)
        }
        return (found, likeliest)
    }

    /// s_ℓ of a text's first blank for each of 1…`Span.most`, as far as they fit: what a version's length weights are fitted to.
    public func lengthEvidence(_ question: Question) async throws(EngineError) -> [Double] {
        let encoding = try encode(question)
        let context = context(question, encoding, blank: 0)
        let room = contents.shape.positions - context.before.count - context.after.count
        let (batch, ranges) = masked(Array(1...min(Span.most, room)), context)
        var wanted = wantedOfSpans(question)
        wanted.sureness = true
        let job = try await run(batch, wanted, question)
        return ranges.map { job.evidence($0) }
    }

    /// A sequence for each length, and which of the batch's blanks are its.
    private func masked(_ lengths: [Int], _ context: Context) -> (batch: Batch, ranges: [Range<Int>]) {
        var (batch, ranges): (Batch, [Range<Int>]) = (Batch(), [])
        for length in lengths {
            ranges.append(batch.blanks.count..<batch.blanks.count + length)
            let masks = [Int32](repeating: tokenizer.vocabulary.mask, count: length)
            batch.append(context.ids(masks), blanks: Array(context.before.count..<context.before.count + length))
        }
        return (batch, ranges)
    }

    /// Each length's order and first distribution, and the likeliest of the competing ones.
    private func starts(
        _ lengths: [Int], _ ranges: [Range<Int>], _ job: Job, _ question: Question
    ) -> ([Int: SpanSearch.Length], (length: Int, logP: Float)) {
        let calibration = calibration
        let weights = zip(lengths, ranges).map { length, range in
            calibration.slope * job.evidence(range) + calibration.offsets[length - 1]
        }
        let logPs = question.span == .auto ? SpanSearch.logSoftmax(weights) : lengths.map { _ in 0 }
        var starts: [Int: SpanSearch.Length] = [:]
        for (index, length) in lengths.enumerated() {
            let order = SpanSearch.order(ranges[index].map { job.entropy[$0] })
            starts[length] = SpanSearch.Length(
                order: order, logP: logPs[index], first: job.position(ranges[index].lowerBound + order[0], among: length > 1 ? isOfWords : []),
                isOpen: question.span != .auto || Span.competing.contains(length))
        }
        let best = logPs.indices.filter { starts[lengths[$0]]?.isOpen == true }.max { logPs[$0] < logPs[$1] } ?? 0
        return (starts, (lengths[best], logPs[best]))
    }

    private func expand(
        _ asked: [(partial: SpanSearch.Partial, asked: [Int32])], _ search: SpanSearch, _ context: Context, _ question: Question
    ) async throws(EngineError) -> [(SpanSearch.Partial, SpanSearch.Position)] {
        var batch = Batch()
        var wanted = wantedOfSpans(question)
        wanted.targets = Array(Set(asked.flatMap(\.asked))).sorted()
        for (partial, _) in asked {
            let middle = search.pieces(of: partial).map { $0 ?? tokenizer.vocabulary.mask }
            batch.append(context.ids(middle), blanks: [context.before.count + search.place(of: partial)])
        }
        let job = try await run(batch, wanted, question)
        return asked.indices.map { (asked[$0].partial, job.position($0, among: isOfWords)) }
    }

    private func joint(
        _ question: Question, _ encoding: Encoding, lengths: [(length: Int, logP: Float)]
    ) async throws(EngineError) -> [Answer.Joint]? {
        var (ids, places): ([Int32], [Int]) = ([], [])
        // As for a blank by itself: punctuation is no part of a word.
        let among = lengths.flatMap { length, _ in Array(repeating: length > 1 ? isOfWords : [], count: length) }
        for (index, id) in encoding.ids.enumerated() {
            guard let number = encoding.blanks.firstIndex(of: index) else {
                ids.append(id)
                continue
            }
            places += ids.count..<ids.count + lengths[number].length
            ids += Array(repeating: id, count: lengths[number].length)
        }
        guard ids.count <= contents.shape.positions else { return nil }
        var wanted = wantedOfSpans(question)
        wanted.sureness = true
        var batch = Batch()
        batch.append(ids, blanks: places)
        let first = try await run(batch, wanted, question)
        var search = JointSearch(entropies: places.indices.map { first.entropy[$0] }, logP: lengths.reduce(0) { $0 + $1.logP })
        if let place = search.place { search.tell([first.position(place, among: among[place])]) }
        wanted.sureness = false
        while let place = search.place {
            var batch = Batch()
            for beam in search.beams {
                var filled = ids
                for (place, piece) in zip(places, beam.pieces) where piece != nil { filled[place] = piece! }
                batch.append(filled, blanks: [places[place]])
            }
            let job = try await run(batch, wanted, question)
            search.tell(search.beams.indices.map { job.position($0, among: among[place]) })
        }
        return search.beams.map { beam in
            whole(beam.pieces.map { $0! }, lengths.map(\.length), question.text, encoding, score: min(1, exp(beam.logP)))
        }
    }

    /// The text with its blanks replaced.
    private func whole(
        _ pieces: [Int32], _ lengths: [Int], _ text: String, _ encoding: Encoding, score: Float
    ) -> Answer.Joint {
        var (filled, fills): (String, [String]) = ("", [])
        let scalars = text.unicodeScalars
        var (from, piece, offset) = (scalars.startIndex, 0, 0)
        for (number, position) in encoding.blanks.enumerated() {
            let start = scalars.index(from, offsetBy: Int(encoding.starts[position]) - offset)
            let word = tokenizer.word(of: Array(pieces[piece..<piece + lengths[number]]))
            filled.unicodeScalars += scalars[from..<start]
            filled += word
            fills.append(word)
            piece += lengths[number]
            from = scalars.index(start, offsetBy: Int(encoding.ends[position] - encoding.starts[position]))
            offset = Int(encoding.ends[position])
        }
        filled.unicodeScalars += scalars[from...]
        return Answer.Joint(text: filled, fills: fills, score: score)
    }
}

// MARK: - What is asked

extension FillMask {
    private func run(_ batch: Batch, _ wanted: Wanted, _ question: Question) async throws(EngineError) -> Job {
        let job = Job(batch, model: model, wanted: wanted, precision: question.precision, client: question.client)
        try await workers.run(job)
        return job
    }

    /// The best pieces of a position: as many as can be first of a word that is listed, near enough.
    private func wantedOfSpans(_ question: Question) -> Wanted {
        var wanted = Wanted(
            top: min(2 * question.topK + 22, contents.shape.vocabulary), temperature: temperature(of: question))
        wanted.excluded = unspeakable
        return wanted
    }

    /// The other blanks are of the same length, or with `auto` a mask each.
    private func context(_ question: Question, _ encoding: Encoding, blank: Int) -> Context {
        let others = if case .pieces(let length) = question.span { length } else { 1 }
        func spread(_ ids: ArraySlice<Int32>) -> ArraySlice<Int32> {
            others == 1
                ? ids
                : ids.indices.flatMap { encoding.blanks.contains($0) ? Array(repeating: ids[$0], count: others) : [ids[$0]] }[...]
        }
        let place = encoding.blanks[blank]
        return Context(before: spread(encoding.ids[..<place]), after: spread(encoding.ids[(place + 1)...]))
    }

    /// Those that compete and fit.
    private func lengths(
        _ question: Question, _ context: Context, words: [SpanSearch.Word]?, terms: TermTable
    ) throws(EngineError) -> [Int] {
        let room = contents.shape.positions - context.before.count - context.after.count
        switch question.span {
        case .one: return [1]
        case .pieces(let length):
            let tokens = context.before.count + context.after.count + length
            guard length <= room else { throw .wordTooLong(tokens: tokens, limit: contents.shape.positions) }
            return [length]
        case .auto:
            let long = words.map { Set($0.map(\.pieces.count)).subtracting(Span.competing) } ?? terms.longLengths
            let fitting = (Array(Span.competing) + long.sorted()).filter { $0 <= room }
            if let word = words?.first(where: { $0.pieces.count > room }) {
                let tokens = context.before.count + context.after.count + word.pieces.count
                throw .wordTooLong(tokens: tokens, limit: contents.shape.positions)
            }
            return fitting
        }
    }

    /// - Throws: `.unknownTarget` where one has unknown pieces, `.targetLength` where it is of another length.
    private func targetWords(_ question: Question) throws(EngineError) -> [SpanSearch.Word]? {
        guard let targets = question.targets else { return nil }
        var words: Set<[Int32]> = []
        for (index, target) in targets.enumerated() {
            let pieces: [Int32]
            do { pieces = Array(try tokenizer.encode(target, folding: question.folding, limit: 64).ids.dropFirst().dropLast()) } catch {
                throw .text(error)
            }
            let names = pieces.map { tokenizer.vocabulary[Int($0)] }
            guard !pieces.isEmpty, !pieces.contains(where: tokenizer.vocabulary.isSpecial) else {
                throw .unknownPieces(index: index, text: target, pieces: names)
            }
            let expected = if case .pieces(let length) = question.span { length...length } else { 1...Span.most }
            guard expected.contains(pieces.count) else {
                throw .targetLength(index: index, text: target, pieces: names, expected: expected)
            }
            words.insert(pieces)
        }
        return words.sorted { $0.lexicographicallyPrecedes($1) }.map { SpanSearch.Word(pieces: $0, isTarget: true) }
    }
}

extension Question {
    /// Whether more is wanted than the pieces of each blank by itself.
    func isOfWords(blanks: Int) -> Bool { span != .one || wantsJoint(blanks: blanks) }

    /// Targets are asked of each blank; filling all at once is for open ones.
    func wantsJoint(blanks: Int) -> Bool { joint && targets == nil && (2...FillMask.mostJoint).contains(blanks) }
}

extension Job {
    func logP(of logit: Float, blank: Int) -> Float { logit / wanted.temperature - logSum[blank] }

    /// The mean over these blanks of log max p.
    func evidence(_ blanks: Range<Int>) -> Double {
        blanks.reduce(0.0) { $0 + Double(logP(of: largest[$1], blank: $1)) } / Double(blanks.count)
    }

    /// - Parameter allowed: by id, which pieces may be among the best; empty: all.
    func position(_ blank: Int, among allowed: [Bool] = []) -> SpanSearch.Position {
        let row = (blank * wanted.top..<blank * wanted.top + found[blank]).filter { allowed.isEmpty || allowed[Int(topIds[$0])] }
        var position = SpanSearch.Position(best: row.map { (topIds[$0], logP(of: topLogits[$0], blank: blank)) })
        for (index, id) in wanted.targets.enumerated() {
            position.asked[id] = logP(of: targetLogits[blank * wanted.targets.count + index], blank: blank)
        }
        guard wanted.everyLogit else { return position }
        let vocabulary = model.shape.vocabulary
        position.every = (0..<vocabulary).map { logP(of: logits[blank * vocabulary + $0], blank: blank) }
        for (id, logP) in position.best { position.every[Int(id)] = logP }
        return position
    }
}
