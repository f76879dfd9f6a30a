import ApplianceConfiguration
import Disk
import Engine
import Evaluation
import ModelFormat
import ModelStore
import Resources
import Rollout
import Tokenizer

extension Suite {
    /// Of a folder; without one those of the configuration's, and where that is not there those inside the binary.
    static func all(_ folder: String?, _ settings: Settings) throws -> [Suite] {
        if let folder { return try Suite.folder(folder) }
        if Disk().isFolder(settings.suites) { return try Suite.folder(settings.suites) }
        return try Resources.suites.map { name, bytes in try bytes.withBytes { try Suite(tsv: Array($0), name: name) } }
    }
}

/// How a row's blank is asked for.
enum AskedSpan: String, CaseIterable {
    /// As long as the answer.
    case known
    case auto
}

/// A version and suites: each row is asked by itself, so that its time is a lone question's.
struct SuiteRun {
    let version: Version
    let precision: Precision
    let span: AskedSpan
    var temperature: Float?

    /// - Parameter progress: after each row.
    func outcomes(of suite: Suite, progress: () -> Void = {}) async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        for (index, row) in suite.rows.enumerated() {
            let started = ContinuousClock.now
            let answer = try await version.fillMask.answer(question(row))
            outcomes.append(
                Outcome(
                    row: index, ranked: answer.blanks[0].candidates.map { Ranked(text: $0.text, score: Double($0.score)) },
                    milliseconds: (ContinuousClock.now - started) / .milliseconds(1)))
            progress()
        }
        return outcomes
    }

    func question(_ row: Row) -> Question {
        Question(row.text, topK: 5, temperature: temperature, precision: precision, span: asked(row))
    }

    func asked(_ row: Row) -> Span {
        switch span {
        case .auto: .auto
        case .known: row.span == 1 ? .one : .pieces(row.span)
        }
    }
}

extension Version {
    /// By what it is called: a Hugging Face folder, `packaged`, a version of the store; nil: what answers now.
    static func called(_ name: String?, settings: Settings, pool: WorkerPool) throws -> Version {
        guard let name else { return try forReading(state: Paths().state(settings), pool: pool) }
        if name == "packaged" { return try Version(contents: try ModelContents.embedded(), release: embeddedRelease, pool: pool) }
        if name.contains("/") || Disk().isFolder(name) {
            let folder = name.hasSuffix("/") && name.utf8.count > 1 ? String(name.dropLast()) : name
            return try Version(contents: try ModelContents(huggingFace: folder), release: folder, pool: pool)
        }
        let store = ModelStore(reading: Paths().state(settings))
        return try Version(try store.manifest(named: name), in: store, pool: pool)
    }
}

extension ModelShape {
    /// `12 × 768, 21128 pieces`
    var summary: String { "\(layers) × \(hidden), \(vocabulary) " + say("pieces", zh: "个词元") }
}
