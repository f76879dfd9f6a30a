public import Disk

/// Settings with what is worth a word to the admin, though nothing is wrong.
public struct Loaded: Sendable {
    public var settings: Settings
    /// Variables that look as if they were meant for us and are not known.
    public var unknownVariables: [String] = []
    /// The file that was read, if any.
    public var file: String?
}

extension Settings {
    /// The file that is read when none is named, if it is there.
    public static let usualFile = "/etc/tiankong/tiankong.yaml"

    /// Variables that are read elsewhere.
    static let otherVariables: Set<String> = ["TIANKONG_ISA", "TIANKONG_PRECISION", "TIANKONG_GOLDEN", "TIANKONG_CONFIG"]

    /// The file, and the environment over it. Flags go over both, by who parses them.
    ///
    /// - Parameters:
    ///   - file: must be there when named; else `usualFile`, which may lack.
    ///   - environment: all variables.
    public static func load(
        file: String?, environment: [String: String], disk: Disk = Disk()
    ) throws(ConfigurationError) -> Loaded {
        var loaded = Loaded(settings: Settings())
        if let file = file ?? (disk.exists(usualFile) ? usualFile : nil) {
            let text: [UInt8]
            do { text = try disk.read(file, atMost: 1 << 20) } catch { throw .unreadable(error) }
            try loaded.settings.apply(text, file: file)
            loaded.file = file
        }
        try loaded.settings.apply(environment)
        loaded.unknownVariables = unknown(in: environment)
        return loaded
    }

    /// - Parameter text: YAML.
    public mutating func apply(_ text: [UInt8], file: String) throws(ConfigurationError) {
        guard let root = try YAMLNode.parse(text, file: file) else { return }
        if case .scalar("", plain: true) = root.value { return }
        guard case .map(let entries) = root.value else {
            throw .syntax(file: file, line: root.line, problem: "not a map of keys")
        }
        try apply(entries, under: "", file: file)
    }

    private mutating func apply(
        _ entries: [YAMLNode.Entry], under prefix: String, file: String
    ) throws(ConfigurationError) {
        for entry in entries {
            let path = prefix + entry.key
            if let key = Key.all.first(where: { $0.path == path }) {
                try set(key, Value(entry.value), place: "\(file), line \(entry.line)")
            } else if Key.all.contains(where: { $0.path.hasPrefix(path + ".") }) {
                if case .map(let inner) = entry.value.value {
                    try apply(inner, under: path + ".", file: file)
                } else {
                    throw .badValue(
                        place: "\(file), line \(entry.line)", key: path, expected: "keys below it",
                        found: Value(entry.value)?.found ?? "a list of maps")
                }
            } else {
                throw .unknownKey(file: file, line: entry.line, key: path, nearest: Self.nearest(to: path))
            }
        }
    }

    private mutating func apply(_ environment: [String: String]) throws(ConfigurationError) {
        for key in Key.all {
            guard let text = environment[key.variable] else { continue }
            let value: Value =
                text == "null" || text.isEmpty
                ? .null
                : text.contains(",")
                    ? .list(text.split(separator: ",").map { String($0).trimmingSpaces }) : .word(text)
            try set(key, value, place: key.variable)
        }
        if let precision = environment["TIANKONG_PRECISION"],
            let key = Key.all.first(where: { $0.path == "model.precision" })
        {
            try set(key, .word(precision), place: "TIANKONG_PRECISION")
        }
    }

    private mutating func set(_ key: Key, _ value: Value?, place: String) throws(ConfigurationError) {
        guard let value else {
            throw .badValue(place: place, key: key.path, expected: key.expected, found: "a map or a list of lists")
        }
        switch key.set(&self, value) {
        case .taken: break
        case .bad: throw .badValue(place: place, key: key.path, expected: key.expected, found: value.found)
        case .notBuilt(let available):
            throw .notBuilt(place: place, key: key.path, found: value.found, available: available)
        }
    }

    private static func unknown(in environment: [String: String]) -> [String] {
        let known = otherVariables.union(Key.all.map(\.variable))
        return environment.keys.filter { $0.hasPrefix("TIANKONG_") && !known.contains($0) }.sorted()
    }

    /// The known key that is the fewest edits away, if it is close enough to be a slip of the finger.
    private static func nearest(to path: String) -> String? {
        let sections = Key.all.compactMap { key in key.path.lastIndex(of: ".").map { String(key.path[..<$0]) } }
        let ranked = (Key.all.map(\.path) + sections).map { ($0, distance($0, path)) }.min { $0.1 < $1.1 }
        guard let (nearest, distance) = ranked, distance <= max(2, path.count / 3) else { return nil }
        return nearest
    }

    /// Levenshtein's distance.
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.unicodeScalars), Array(b.unicodeScalars))
        var row = Array(0...b.count)
        for i in a.indices {
            var corner = row[0]
            row[0] = i + 1
            for j in b.indices {
                let next = min(row[j] + 1, row[j + 1] + 1, corner + (a[i] == b[j] ? 0 : 1))
                corner = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[b.count]
    }
}

extension Value {
    /// nil for a map, or a list of anything but scalars.
    fileprivate init?(_ node: YAMLNode) {
        switch node.value {
        case .scalar(let text, let plain):
            self = plain && ["", "null", "~"].contains(text) ? .null : .word(text)
        case .list(let items):
            var words: [String] = []
            for item in items {
                guard case .scalar(let text, _) = item.value else { return nil }
                words.append(text)
            }
            self = .list(words)
        case .map: return nil
        }
    }
}

extension String {
    fileprivate var trimmingSpaces: String {
        var text = Substring(self)
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
