import Disk
public import ModelFormat
public import StrictJSON

/// Makes a patch between two checkpoints, of which the target may come from any trainer.
public struct PatchMaker: Sendable {
    public struct Recipe: Sendable {
        /// `.exact`, or `.compact` for matrices (vectors stay exact: they are small and matter).
        public let encoding: PatchFrame.Encoding
        public let line: Fingerprint
        public let release: String
        public let epoch: Int
        public let created: String
        public let dossier: JSON?

        public init(encoding: PatchFrame.Encoding, line: Fingerprint, release: String, epoch: Int, created: String, dossier: JSON?) {
            self.encoding = encoding
            self.line = line
            self.release = release
            self.epoch = epoch
            self.created = created
            self.dossier = dossier
        }
    }

    /// What was made, and how far its result is from the given target.
    public struct Product: Sendable {
        public let bytes: [UInt8]
        public let plan: PatchPlan
        /// The largest difference between an element of the result and of the target; 0 for `exact`.
        public let largestDifference: Float
        public let changedElements: Int
    }

    let base: ModelContents
    let target: ModelContents
    let recipe: Recipe

    public init(base: ModelContents, target: ModelContents, recipe: Recipe) {
        self.base = base
        self.target = target
        self.recipe = recipe
    }

    /// - Throws: `.unlike` where no patch can lead, `.nothingChanged`, `.format` for what is not finite.
    public func make(lanes: Int = 2) async throws(PatchError) -> Product {
        try checkLikeness()
        let baseDigests = await base.digests(lanes: lanes)
        let baseIdentity = base.identity(digests: baseDigests)
        let targetDigests = await target.digests(lanes: lanes)
        let changed = targetTensors().filter { tensor in
            let source = base[tensor.name]
            return source?.dtype != tensor.dtype || baseDigests[tensor.name] != (targetDigests[tensor.name] ?? tensor.digest())
        }
        let calibration = (target.calibration ?? base.calibration).map { String(decoding: $0, as: UTF8.self) }
        let baseCalibration = base.calibration.map { String(decoding: $0, as: UTF8.self) }
        guard !changed.isEmpty || calibration != baseCalibration else { throw .nothingChanged }
        let made = try await frames(of: changed, lanes: lanes)
        let draft = plan(made, base: baseIdentity.fingerprint, target: baseIdentity.fingerprint, calibration)
        let result = draft.identity(base: baseIdentity).fingerprint
        let plan = plan(made, base: baseIdentity.fingerprint, target: result, calibration)
        let manifest = PatchManifest.patch(plan).bytes
        guard manifest.count <= PatchHeader.mostManifest else {
            throw .manifest(file: recipe.release, key: "", expected: "at most \(PatchHeader.mostManifest) bytes", found: "\(manifest.count)")
        }
        let header = PatchHeader(manifest: manifest.count, signature: 0, frames: made.reduce(0) { $0 + $1.bytes.count })
        // What we write we can read: a dossier may be too deep, a tensor's name too long.
        _ = try PatchManifest(manifest, framesLength: header.whole - header.framesStart, file: recipe.release)
        var bytes = header.bytes + manifest
        bytes.reserveCapacity(header.whole)
        for frame in made { bytes += frame.bytes }
        return Product(
            bytes: bytes, plan: plan, largestDifference: made.map(\.distance.largest).max() ?? 0,
            changedElements: made.reduce(0) { $0 + $1.frame.count })
    }

    private func plan(_ made: [MadeFrame], base: Fingerprint, target: Fingerprint, _ calibration: String?) -> PatchPlan {
        PatchPlan(
            base: base, target: target, line: recipe.line, release: recipe.release, epoch: recipe.epoch,
            created: recipe.created, calibration: calibration, dossier: recipe.dossier, frames: made.map(\.frame))
    }

    /// Vocabulary, shape and tokenizer are one unit with the weights; none of them travels in a patch.
    private func checkLikeness() throws(PatchError) {
        guard base.shape == target.shape else { throw .unlike(what: "shape", base: base.shape.inWords, target: target.shape.inWords) }
        guard base.pieces == target.pieces else { throw .unlike(what: "vocabulary", base: "the pieces", target: "other pieces") }
        guard base.tokenizer == target.tokenizer else { throw .unlike(what: "tokenizer", base: "the settings", target: "other settings") }
        for tensor in base.tensors + target.tensors {
            do { try tensor.checkFinite() } catch { throw .format(error) }
        }
    }

    /// Those of the target; where it is tied and the base is not, the decoder is the embeddings under its name.
    private func targetTensors() -> [StoredTensor] {
        guard target.isTied, !base.isTied, let words = target[VersionIdentity.embeddings] else { return target.tensors }
        return target.tensors + [words.named(VersionIdentity.decoder)]
    }

    private func frames(of tensors: [StoredTensor], lanes: Int) async throws(PatchError) -> [MadeFrame] {
        let order = tensors.sorted { $0.byteCount > $1.byteCount }
        let made = try await Lanes.map(order, lanes: lanes) { tensor throws(PatchError) in try frame(of: tensor) }
        return made.sorted { $0.frame.tensor.utf8.lexicographicallyPrecedes($1.frame.tensor.utf8) }
    }
}
