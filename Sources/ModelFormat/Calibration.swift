public import StrictJSON

/// What makes a version's probabilities honest; part of the version (formats.md), fitted on suites:
/// `{"temperature": T, "length": {"a": a, "b": [b₁, …, b₈]}}`, every member optional.
///
/// Temperature divides the logits (Guo et al. 2017). A blank is ℓ pieces long with probability softmax(a·s_ℓ + b_ℓ),
/// s_ℓ being the mean over its ℓ positions of log max p in the first pass.
public struct Calibration: Sendable, Equatable {
    public static let lengths = 8

    public var temperature: Double = 1
    public var slope: Double = 1
    /// One for each length from 1 on.
    public var offsets: [Double] = Array(repeating: 0, count: lengths)

    public init() {}

    /// - Parameter json: an object; what it does not say is as without a calibration, what else it says is for others.
    /// - Throws: `.key` where a member is not what it should be.
    public init(_ json: JSON, file: String) throws(ModelFormatError) {
        if let value = json["temperature"] { temperature = try Self.number(value, "calibration.temperature", 0.05...20, file) }
        guard let length = json["length"] else { return }
        guard length.members != nil else {
            throw .key(file: file, key: "calibration.length", expected: "an object", found: length.serialized)
        }
        if let value = length["a"] { slope = try Self.number(value, "calibration.length.a", -100...100, file) }
        if let value = length["b"] {
            guard let elements = value.elements, elements.count == Self.lengths else {
                throw .key(file: file, key: "calibration.length.b", expected: "\(Self.lengths) numbers", found: value.serialized)
            }
            var found: [Double] = []
            for element in elements { found.append(try Self.number(element, "calibration.length.b", -1000...1000, file)) }
            offsets = found
        }
    }

    public var json: JSON {
        ["temperature": .real(temperature), "length": ["a": .real(slope), "b": .array(offsets.map { .real($0) })]]
    }

    private static func number(
        _ json: JSON, _ key: String, _ range: ClosedRange<Double>, _ file: String
    ) throws(ModelFormatError) -> Double {
        guard let value = json.real, range.contains(value) else {
            throw .key(file: file, key: key, expected: "a number from \(range.lowerBound) to \(range.upperBound)", found: json.serialized)
        }
        return value
    }
}

extension ModelContents {
    /// The version's; what a version without one has, where it has none.
    public func readCalibration() throws(ModelFormatError) -> Calibration {
        guard let calibration else { return Calibration() }
        let json: JSON
        do { json = try JSON(parsing: calibration) } catch {
            throw .key(file: "version", key: "calibration", expected: "JSON", found: "\(calibration.count) other bytes")
        }
        return try Calibration(json, file: "version")
    }
}
