import Disk
import StrictJSON

extension ModelStore {
    /// Somebody wants the live version to stay what it is, over restarts too.
    public struct Pin: Sendable, Equatable {
        public let by: String
        public let reason: String?
        /// RFC 3339, UTC.
        public let since: String

        public init(by: String, reason: String?, since: String) { (self.by, self.reason, self.since) = (by, reason, since) }
    }

    /// - Throws: `.damaged` for a file that is none: whoever wrote it wanted something.
    public func pin() throws(StoreError) -> Pin? {
        guard disk.exists(layout.pin) else { return nil }
        let bytes = try onDisk { () throws(DiskError) in try disk.read(layout.pin, atMost: 1 << 16) }
        guard let json = try? JSON(parsing: bytes), let by = json["by"]?.string, let since = json["since"]?.string else {
            throw .damaged(file: layout.pin, expected: "an object with by and since", found: "other bytes")
        }
        return Pin(by: by, reason: json["reason"]?.string, since: since)
    }

    public func keepPin(_ pin: Pin) throws(StoreError) {
        let json: JSON = ["by": .string(pin.by), "reason": pin.reason.map { .string($0) } ?? .null, "since": .string(pin.since)]
        try onDisk { () throws(DiskError) in try disk.writeDurably(json.serialized + "\n", to: layout.pin) }
    }

    public func removePin() throws(StoreError) {
        try onDisk { () throws(DiskError) in try disk.remove(layout.pin) }
    }
}
