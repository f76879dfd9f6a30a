import Disk
import StrictJSON

/// Where a model's files are: a folder on disk, or inside the binary.
enum FileSource {
    case folder(String)
    case embedded([String: SharedBytes])

    private static let disk = Disk()

    func path(_ name: String) -> String {
        switch self {
        case .folder(let folder): folder + "/" + name
        case .embedded: "(embedded) " + name
        }
    }

    var place: String {
        switch self {
        case .folder(let folder): folder
        case .embedded: "(embedded)"
        }
    }

    /// Anything of that name counts, a broken link too: it is then refused by name and not passed over.
    func has(_ name: String) -> Bool {
        switch self {
        case .folder(let folder): Self.disk.exists(folder + "/" + name)
        case .embedded(let files): files[name] != nil
        }
    }

    func bytes(_ name: String) throws(ModelFormatError) -> SharedBytes {
        switch self {
        case .folder(let folder):
            do { return try MappedFile(folder + "/" + name) } catch { throw .disk(error) }
        case .embedded(let files):
            guard let bytes = files[name] else { throw .fileMissing(folder: place, expected: name) }
            return bytes
        }
    }

    /// - Parameter limit: bytes that such a file may have at most.
    func json(_ name: String, atMost limit: Int = 64 << 20) throws(ModelFormatError) -> JSON {
        let bytes = try bytes(name)
        guard bytes.count <= limit else {
            throw .disk(.tooLarge(path: path(name), limit: limit, found: bytes.count))
        }
        do { return try bytes.withBytes { raw throws(JSONError) in try JSON(parsing: raw) } } catch {
            throw .json(file: path(name), error)
        }
    }
}

/// A JSON file whose values are asked for by key, with errors that name it.
struct ConfigurationFile {
    let json: JSON
    let path: String

    init(_ source: FileSource, _ name: String) throws(ModelFormatError) {
        json = try source.json(name)
        path = source.path(name)
        guard json.members != nil else {
            throw .header(file: path, expected: "an object", found: json.kind)
        }
    }

    func wrong(_ key: String, _ expected: String) -> ModelFormatError {
        .key(file: path, key: key, expected: expected, found: json[key]?.serialized ?? "nothing")
    }

    /// Absent or null is nil.
    func value(_ key: String) -> JSON? {
        if case .null? = json[key] { return nil }
        return json[key]
    }

    func integer(_ key: String, in range: ClosedRange<Int>, fallback: Int? = nil) throws(ModelFormatError) -> Int {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = value(key) else {
            if let fallback { return fallback }
            throw wrong(key, expected)
        }
        guard let integer = value.integer, range.contains(integer) else { throw wrong(key, expected) }
        return integer
    }

    func bool(_ key: String, fallback: Bool) throws(ModelFormatError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let bool = value.bool else { throw wrong(key, "true or false") }
        return bool
    }

    /// - Throws: unless the key is absent or one of these.
    func require(_ key: String, _ accepted: [JSON], _ expected: String) throws(ModelFormatError) {
        guard let value = value(key) else { return }
        guard accepted.contains(where: { $0.serialized == value.serialized }) else { throw wrong(key, expected) }
    }
}
