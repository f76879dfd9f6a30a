import Disk
import Foundation
import ModelFormat
import ModelStore
import TestSupport
import Testing

@Suite("the store keeps versions")
struct ModelStoreTests {
    private let folder: TemporaryFolder
    private var state: String { folder.path }

    init() throws { folder = try TemporaryFolder() }

    private func contents(_ name: String = "tiny-tied") throws -> ModelContents {
        try ModelContents(huggingFace: "\(Places.fixtures)/\(name)")
    }

    private func add(
        _ store: ModelStore, _ name: String = "tiny-tied", release: String? = nil
    ) async throws -> VersionManifest {
        try await store.add(
            try contents(name), release: release, fallback: name, origin: .imported, created: "2026-01-01T00:00:00Z")
    }

    @Test("what was imported comes back bit for bit, under the same fingerprint", arguments: ["tiny-tied", "tiny-untied-f16", "tiny-bf16-relu", "tiny-sharded", "tiny-old-names", "tiny-tokenizer-json"])
    func roundTrip(name: String) async throws {
        let store = try ModelStore(opening: state)
        let manifest = try await add(store, name)
        #expect(try store.current() == manifest.fingerprint)
        let kept = try ModelStore(reading: state).contents(of: try store.manifest(of: manifest.fingerprint))
        let original = try contents(name)
        #expect(kept.tensors.map(\.name) == original.tensors.map(\.name))
        for (a, b) in zip(kept.tensors, original.tensors) { #expect(a.withBytes { Array($0) } == b.withBytes { Array($0) }) }
        #expect(kept.pieces == original.pieces && kept.shape == original.shape && kept.tokenizer == original.tokenizer)
    }

    @Test("importing what is there changes nothing")
    func twice() async throws {
        let store = try ModelStore(opening: state)
        let first = try await add(store, release: "one")
        let again = try await add(store, release: "two")
        #expect(again.release == first.release && again.fingerprint == first.fingerprint)
        #expect(try store.previous() == nil)
    }

    @Test("the version before is kept as previous")
    func previous() async throws {
        let store = try ModelStore(opening: state)
        let first = try await add(store)
        let second = try await add(store, "tiny-sharded")
        #expect(try store.current() == second.fingerprint)
        #expect(try store.previous() == first.fingerprint)
        #expect(try store.versions().count == 2)
    }

    @Test("a version that is removed after its name was seen and before it is read is left out")
    func removedMeanwhile() async throws {
        let store = try ModelStore(opening: state)
        let going = [try await add(store, "tiny-sharded"), try await add(store, "tiny-bf16-relu")]
        let staying = try await add(store)
        let manifests = try going.map { going in
            let path = "\(state)/store/versions/\(going.fingerprint)"
            return (path, try Data(contentsOf: URL(filePath: path)))
        }
        let reading = try ModelStore(reading: state)
        for _ in 0..<300 {
            for (path, bytes) in manifests { try bytes.write(to: URL(filePath: path)) }
            async let removed: Void = Task.detached { for (path, _) in manifests { unlink(path) } }.value
            for _ in 0..<3 {
                #expect(try reading.versions().contains { $0.fingerprint == staying.fingerprint })
                #expect(try reading.readableVersions().faults.isEmpty)
            }
            await removed
        }
    }

    @Test("one process at a time changes a store; anyone reads it")
    func lock() async throws {
        let store = try ModelStore(opening: state)
        _ = try await add(store)
        #expect {
            try ModelStore(opening: state)
        } throws: { error in
            guard case StoreError.inUse = error else { return false }
            return true
        }
        #expect(try ModelStore(reading: state).current() != nil)
        withExtendedLifetime(store) {}
    }

    @Test("an import that fails at any step leaves the old version or the new one, whole")
    func faults() async throws {
        let counting = FaultPlan(failingAt: nil)
        let sample = try TemporaryFolder()
        _ = try await add(try ModelStore(opening: sample.path, disk: Disk(faults: counting)))
        #expect(counting.steps > 100)
        for step in 0..<counting.steps {
            let folder = try TemporaryFolder()
            let old = try await add(try ModelStore(opening: folder.path), "tiny-bf16-relu")
            do {
                let store = try ModelStore(opening: folder.path, disk: Disk(faults: FaultPlan(failingAt: step)))
                _ = try await add(store)
            } catch is StoreError {}
            let store = try ModelStore(opening: folder.path)
            let current = try #require(try store.current())
            let manifest = try store.manifest(of: current)
            #expect(current == old.fingerprint || manifest.release == "tiny-tied", "step \(step)")
            let contents = try store.contents(of: manifest)
            var digests: [String: Digest] = [:]
            for tensor in contents.tensors { digests[tensor.name] = tensor.digest() }
            #expect(contents.fingerprint(digests: digests) == current, "step \(step)")
            for inner in ["", "/tensors", "/versions", "/vocabularies"] {
                let left = try Disk().list(folder.path + "/store" + inner).filter { $0.hasSuffix(".partial") }
                #expect(left.isEmpty, "step \(step)")
            }
        }
    }

    @Test("a pointer or a manifest that somebody wrote over is refused by its name")
    func damaged() async throws {
        let store = try ModelStore(opening: state)
        let manifest = try await add(store)
        let path = "\(state)/store/versions/\(manifest.fingerprint)"
        let text = String(decoding: try Disk().read(path, atMost: 1 << 20), as: UTF8.self)
        try Disk().writeDurably(text.replacingOccurrences(of: "\"hidden\": 32", with: "\"hidden\": 64"), to: path)
        #expect(throws: (any Error).self) { try store.contents(of: try store.manifest(of: manifest.fingerprint)) }
        try Disk().writeDurably("{}", to: path)
        #expect(throws: StoreError.self) { try store.manifest(of: manifest.fingerprint) }
        try Disk().writeDurably("nonsense", to: "\(state)/store/current")
        #expect(throws: StoreError.self) { try store.current() }
    }

    @Test("weights that are no numbers are refused at import, with file, tensor and element")
    func notFinite() async throws {
        let bad = try TemporaryFolder()
        let model = bad.path + "/model"
        try FileManager.default.copyItem(atPath: Places.fixtures + "/tiny-tied", toPath: model)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors"))
        bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: [0, 0, 0xC0, 0x7F])
        try bytes.write(to: URL(fileURLWithPath: model + "/model.safetensors"))
        let store = try ModelStore(opening: state)
        await #expect {
            try await store.add(try ModelContents(huggingFace: model), release: nil, fallback: "x", origin: .imported, created: "")
        } throws: { error in
            let text = "\(error)"
            return text.contains("model.safetensors") && text.contains("tensor ") && text.contains("element ")
        }
        #expect(try store.current() == nil)
    }
}
