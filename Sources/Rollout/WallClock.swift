import Glibc

/// The time of day: for records, for keys that expire; never for deciding how long something took.
public enum WallClock {
    /// When this release was made, 2026-11-01: no clock that is right shows an earlier time.
    public static let release = 1_793_491_200

    public static var seconds: Int { time(nil) }

    static var nanoseconds: Int {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec
    }

    /// RFC 3339 in UTC, to the second.
    public static func timestamp(_ seconds: Int = WallClock.seconds) -> String {
        var now = seconds
        var parts = tm()
        gmtime_r(&now, &parts)
        var buffer = [CChar](repeating: 0, count: 32)
        strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// Of a text that `timestamp` wrote.
    package static func seconds(of timestamp: String) -> Int? {
        let numbers = timestamp.split { !$0.isASCII || !$0.isNumber }.compactMap { Int32($0) }
        guard numbers.count == 6, timestamp.utf8.count == 20, timestamp.hasSuffix("Z") else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (numbers[3], numbers[4], numbers[5])
        return timegm(&parts)
    }
}
