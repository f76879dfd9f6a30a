import ApplianceConfiguration
import ArgumentParser
import Disk
import Explain
import ModelFormat
import ModelStore

struct Export: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Writes a version as a Hugging Face folder.", zh: "将版本导出为 Hugging Face 目录。"),
            discussion: say(
                "With the exact weights: what fine-tuning elsewhere starts from. Without a version the current one.",
                zh: "包含精确权重，可在别处微调。不指定版本则导出当前版本。") + "\n\n" + say("Example:", zh: "例：")
                + "\n  tiankong export ./base")
    }

    @Argument(help: ArgumentHelp(say("[VERSION] FOLDER", zh: "[版本] 目录"), valueName: "version-and-folder"))
    var words: [String]

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard (1...2).contains(words.count) else {
            throw ValidationError(say("expected [VERSION] FOLDER", zh: "应为 [版本] 目录"))
        }
    }

    func run() async throws {
        let settings = try place.load().settings
        let source = try ModelSource(version: words.count == 2 ? words[0] : nil, state: Paths().state(settings))
        try source.contents.export(to: words[words.count - 1], release: source.release, epoch: source.epoch, line: source.line)
        put(say("\(source.release) is in \(words[words.count - 1])", zh: "\(source.release) 已导出到 \(words[words.count - 1])"))
    }
}

/// A model that a command works from: a folder, a kept version, or the embedded one.
struct ModelSource {
    let contents: ModelContents
    let release: String
    let epoch: Int
    let line: Fingerprint

    /// - Parameter version: a fingerprint, its beginning, or a release; nil: the current one, or the embedded one.
    init(version: String?, state: String) throws {
        let store = ModelStore(reading: state)
        if version == nil, try store.current() == nil {
            try self.init(contents: ModelContents.embedded(), release: embeddedRelease)
        } else {
            try self.init(store.manifest(named: version), in: store)
        }
    }

    private init(_ manifest: VersionManifest, in store: ModelStore) throws {
        contents = try store.contents(of: manifest)
        release = manifest.release
        epoch = manifest.epoch
        line = manifest.line
    }

    /// - Parameter name: a Hugging Face folder, else as above.
    init(folderOrVersion name: String, state: String) throws {
        if name.contains("/") || Self.isFolder(name) {
            try self.init(contents: ModelContents(huggingFace: name), release: name)
        } else {
            try self.init(version: name, state: state)
        }
    }

    private static func isFolder(_ name: String) -> Bool { Disk().isFolder(name) }

    private init(contents: ModelContents, release: String) throws {
        self.contents = contents
        self.release = contents.release ?? release
        epoch = contents.epoch
        if let line = contents.line {
            self.line = line
        } else {
            var digests: [String: Digest] = [:]
            for tensor in contents.tensors { digests[tensor.name] = tensor.digest() }
            line = contents.fingerprint(digests: digests)
        }
    }
}
