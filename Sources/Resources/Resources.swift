import CResources
public import Disk

/// The files inside the binary.
public enum Resources {
    /// A file by its path there, e.g. `page/index.html`; nil when there is none of that name.
    public static func file(_ name: String) -> SharedBytes? { all[name] }

    /// The default model's Hugging Face folder, by file name.
    public static var model: [String: SharedBytes] {
        var files: [String: SharedBytes] = [:]
        for (name, bytes) in all where name.hasPrefix("model/") { files[String(name.dropFirst(6))] = bytes }
        return files
    }

    /// The packaged suites (tab-separated), by name.
    public static var suites: [(name: String, bytes: SharedBytes)] {
        all.filter { $0.key.hasPrefix("suites/") }.map { (String($0.key.dropFirst(7).dropLast(4)), $0.value) }.sorted { $0.0 < $1.0 }
    }

    private static let all: [String: SharedBytes] = {
        var files: [String: SharedBytes] = [:]
        var index = 0
        while true {
            let resource = tk_resource_at(index)
            guard let name = resource.name else { return files }
            files[String(cString: name)] = SharedBytes(
                immortal: UnsafeRawBufferPointer(start: resource.bytes, count: resource.count))
            index += 1
        }
    }()
}
