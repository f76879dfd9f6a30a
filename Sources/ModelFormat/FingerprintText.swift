extension ModelContents {
    /// The text whose SHA-256 is the version's fingerprint; a line each, every line ended by LF:
    ///
    ///     tiankong-version 1
    ///     shape LAYERS HIDDEN HEADS FFN POSITIONS TYPES VOCABULARY ACTIVATION EPSILON
    ///     tokenizer LOWER ACCENTS CJK
    ///     vocabulary SHA256
    ///     calibration SHA256 or -
    ///     tensor NAME DTYPE SHAPE SHA256        (sorted by name, bytewise)
    ///
    /// EPSILON is the double's bit pattern in 16 hexadecimal digits; ACTIVATION is gelu, gelu_new or relu; LOWER,
    /// ACCENTS and CJK are 0 or 1, ACCENTS being what lower implies where it is not set; SHAPE is sizes joined by `x`;
    /// the vocabulary's digest is that of the pieces joined by LF, a tensor's that of its bytes as stored.
    ///
    /// - Parameter digests: of every tensor, by name.
    /// - Precondition: none lacks.
    public func fingerprintText(digests: [String: Digest]) -> String {
        let bits = String(shape.epsilon.bitPattern, radix: 16)
        let epsilon = String(repeating: "0", count: 16 - bits.count) + bits
        let sizes = [
            shape.layers, shape.hidden, shape.heads, shape.feedForward, shape.positions, shape.types, shape.vocabulary,
        ]
        var lines = [
            "tiankong-version 1",
            "shape " + sizes.map(String.init).joined(separator: " ") + " \(shape.activation.rawValue) \(epsilon)",
            "tokenizer \(flag(tokenizer.lower)) \(flag(tokenizer.accents ?? tokenizer.lower)) \(flag(tokenizer.cjk))",
            "vocabulary \(Self.digest(pieces.joined(separator: "\n").utf8))",
            "calibration " + (calibration.map { "\(Self.digest($0))" } ?? "-"),
        ]
        for tensor in tensors {
            guard let digest = digests[tensor.name] else { preconditionFailure("no digest of \(tensor.name)") }
            let shape = tensor.shape.map(String.init).joined(separator: "x")
            lines.append("tensor \(tensor.name) \(tensor.dtype.rawValue) \(shape) \(digest)")
        }
        return lines.map { $0 + "\n" }.joined()
    }

    public func fingerprint(digests: [String: Digest]) -> Fingerprint {
        Fingerprint(Self.digest(fingerprintText(digests: digests).utf8))
    }

    private func flag(_ bool: Bool) -> String { bool ? "1" : "0" }

    private static func digest(_ bytes: some Sequence<UInt8>) -> Digest {
        Array(bytes).withUnsafeBytes { Digest(of: $0) }
    }
}
