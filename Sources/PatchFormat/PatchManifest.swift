public import ModelFormat
public import StrictJSON

/// What is signed. A key that is not listed, one that lacks and one that stands twice are refused: no byte is free.
public enum PatchManifest: Sendable {
    case patch(PatchPlan)
    case order(RollbackOrder)

    public var line: Fingerprint {
        switch self {
        case .patch(let plan): plan.line
        case .order(let order): order.line
        }
    }

    public var epoch: Int {
        switch self {
        case .patch(let plan): plan.epoch
        case .order(let order): order.epoch
        }
    }
}

/// `{"kind":"patch", …}`: how to come from one version to another.
public struct PatchPlan: Sendable {
    public let base: Fingerprint
    public let target: Fingerprint
    public let line: Fingerprint
    public let release: String
    public let epoch: Int
    /// RFC 3339, UTC.
    public let created: String
    /// The calibration's JSON as it stands in the version; nil: none.
    public let calibration: String?
    /// The signed part of the dossier, an object.
    public let dossier: JSON?
    public let frames: [PatchFrame]
}

/// One tensor frame: `{"tensor","shape","dtype","op","encoding","compressed","exact","sha256","result"}`.
public struct PatchFrame: Sendable, Equatable {
    public enum Operation: String, Sendable, CaseIterable {
        /// The tensor's bytes.
        case replace
        /// A difference to the source.
        case delta
        /// The source with some rows changed.
        case rows
    }

    public enum Encoding: String, Sendable, CaseIterable {
        /// Bytes as they are stored: for `replace` and `rows`.
        case raw
        case exact
        case compact
    }

    public let tensor: String
    public let shape: [Int]
    /// Of the result.
    public let dtype: DType
    public let operation: Operation
    public let encoding: Encoding
    /// Bytes of the zstd frame, and of what is in it.
    public let compressed: Int
    public let exact: Int
    /// Of the zstd frame's bytes.
    public let digest: Digest
    /// Of the resulting tensor's bytes.
    public let result: Digest

    var count: Int { shape.reduce(1, *) }
    /// Elements of a row: the last dimension.
    var rowLength: Int { shape.last ?? 1 }
    var rowCount: Int { rowLength == 0 ? 0 : count / rowLength }
}

/// `{"kind":"rollback","line","to","epoch","reason"}`: a signed order to go back.
public struct RollbackOrder: Sendable {
    public let line: Fingerprint
    public let to: Fingerprint
    public let epoch: Int
    public let reason: String

    public init(line: Fingerprint, to: Fingerprint, epoch: Int, reason: String) {
        self.line = line
        self.to = to
        self.epoch = epoch
        self.reason = reason
    }
}

extension PatchManifest {
    /// The bytes to sign: one line of JSON.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        json.write(to: &bytes)
        return bytes
    }

    private var json: JSON {
        switch self {
        case .order(let order):
            [
                "kind": "rollback", "line": .string("\(order.line)"), "to": .string("\(order.to)"),
                "epoch": .integer(Int64(order.epoch)), "reason": .string(order.reason),
            ]
        case .patch(let plan):
            [
                "kind": "patch", "base": .string("\(plan.base)"), "target": .string("\(plan.target)"),
                "line": .string("\(plan.line)"), "release": .string(plan.release), "epoch": .integer(Int64(plan.epoch)),
                "created": .string(plan.created), "calibration": plan.calibration.map { .string($0) } ?? .null,
                "dossier": plan.dossier ?? .null,
                "frames": .array(
                    plan.frames.map { frame in
                        [
                            "tensor": .string(frame.tensor), "shape": .array(frame.shape.map { .integer(Int64($0)) }),
                            "dtype": .string(frame.dtype.rawValue), "op": .string(frame.operation.rawValue),
                            "encoding": .string(frame.encoding.rawValue), "compressed": .integer(Int64(frame.compressed)),
                            "exact": .integer(Int64(frame.exact)), "sha256": .string("\(frame.digest)"),
                            "result": .string("\(frame.result)"),
                        ]
                    }),
            ]
        }
    }
}
