import Disk
import ModelFormat
import ModelStore
import TestSupport
import Testing

@Suite("the store keeps packed files")
struct PackedFilesTests {
    private let folder: TemporaryFolder
    private let tensor: Digest
    private var packed: String { folder.path + "/store/packed" }

    init() throws {
        folder = try TemporaryFolder()
        tensor = try #require(try Self.contents()["bert.embeddings.word_embeddings.weight"]).digest()
    }

    private static func contents(_ name: String = "tiny-tied") throws -> ModelContents {
        try ModelContents(huggingFace: "\(Places.fixtures)/\(name)")
    }

    private func add(_ store: ModelStore, _ name: String = "tiny-tied", created: String = "2026-01-01T00:00:00Z") async throws -> VersionManifest {
        try await store.add(try Self.contents(name), release: name, fallback: name, origin: .imported, created: created)
    }

    private func bytes(_ count: Int, of value: UInt8 = 7) -> HeapBytes { HeapBytes(count: count) { $0.copyBytes(from: repeatElement(value, count: count)) } }

    private func content(_ file: MappedFile?) -> [UInt8]? { file.map { $0.withBytes { Array($0) } } }

    @Test("what was kept comes back, by its tensor, its form and its length; readers see it too")
    func kept() async throws {
        let store = try ModelStore(opening: folder.path)
        _ = try await add(store)
        #expect(store.packed(tensor, form: "a.1", count: 100) == nil)
        try store.keepPacked(bytes(100), of: tensor, form: "a.1")
        for store in [store, ModelStore(reading: folder.path)] {
            #expect(content(store.packed(tensor, form: "a.1", count: 100)) == Array(repeating: 7, count: 100))
            #expect(store.packed(tensor, form: "a.1", count: 99) == nil && store.packed(tensor, form: "a.1", count: 101) == nil)
            #expect(store.packed(tensor, form: "a.2", count: 100) == nil)
        }
        #expect(try Disk().list(packed) == ["\(tensor).a.1"])
    }

    @Test("what is removed stays with whoever has it mapped; who asks next gets what is there then")
    func removed() async throws {
        let store = try ModelStore(opening: folder.path)
        _ = try await add(store)
        try store.keepPacked(bytes(100), of: tensor, form: "a.1")
        let mapped = store.packed(tensor, form: "a.1", count: 100)
        try store.removePacked(tensor, form: "a.1")
        #expect(store.packed(tensor, form: "a.1", count: 100) == nil)
        try store.keepPacked(bytes(100, of: 9), of: tensor, form: "a.1")
        #expect(content(store.packed(tensor, form: "a.1", count: 100)) == Array(repeating: 9, count: 100))
        #expect(content(mapped) == Array(repeating: 7, count: 100))
    }

    @Test("opening removes what was left half written and what belongs to no kept version, and nothing else")
    func opening() async throws {
        do {
            let store = try ModelStore(opening: folder.path)
            _ = try await add(store)
            try store.keepPacked(bytes(100), of: tensor, form: "a.1")
            try store.keepPacked(bytes(10), of: Digest(of: Array("nobody's".utf8)), form: "a.1")
            try Disk().writeNew("half", to: "\(packed)/\(tensor).a.2.partial")
            try Disk().writeNew("?", to: "\(packed)/notes")
        }
        let store = try ModelStore(opening: folder.path)
        #expect(try Disk().list(packed) == ["\(tensor).a.1"])
        #expect(try store.unreferenced().isEmpty)
    }

    @Test("packed files go with the last version that has their tensor")
    func retained() async throws {
        let store = try ModelStore(opening: folder.path)
        var kept: Set<String> = []
        for (index, name) in ["tiny-tied", "tiny-sharded", "tiny-capitals"].enumerated() {
            let manifest = try await add(store, name, created: "2026-01-0\(index + 1)T00:00:00Z")
            for layer in 0..<2 {
                let query = "bert.encoder.layer.\(layer).attention.self.query.weight"
                try store.keepPacked(bytes(10), of: try #require(manifest.digest(of: query)), form: "a.1")
                if index > 0 { kept.insert("\(try #require(manifest.digest(of: query))).a.1") }
            }
        }
        let removed = try store.retain(1)
        #expect(removed.map(\.release) == ["tiny-tied"])
        #expect(Set(try Disk().list(packed)) == kept)
    }

    @Test("a version without its packed files, or with spoiled ones, is whole: they are no part of it")
    func noPart() async throws {
        let store = try ModelStore(opening: folder.path)
        let manifest = try await add(store)
        try store.keepPacked(bytes(100), of: tensor, form: "a.1")
        try store.verify(manifest)
        #expect(try store.removeDamaged(of: manifest).isEmpty)
        try Disk().remove(packed)
        try store.verify(manifest)
    }

    @Test("a disk that fails at any step leaves the whole file or none of its name", arguments: [FaultPlan.Fault.lasting(28), .once(5)])
    func faults(fault: FaultPlan.Fault) async throws {
        let keeper = try ModelStore(opening: folder.path)
        _ = try await add(keeper)
        let counting = FaultPlan(failingAt: nil)
        try ModelStore(reading: folder.path, disk: Disk(faults: counting)).keepPacked(bytes(100), of: tensor, form: "a.1")
        #expect(counting.steps >= 4)
        for step in 0..<counting.steps {
            try Disk().remove(packed)
            let store = ModelStore(reading: folder.path, disk: Disk(faults: FaultPlan(failingAt: step, fault)))
            #expect(throws: StoreError.self) { try store.keepPacked(bytes(100), of: tensor, form: "a.1") }
            #expect(store.packed(tensor, form: "a.1", count: 100) == nil, "step \(step)")
            try keeper.keepPacked(bytes(100), of: tensor, form: "a.1")
            #expect(content(keeper.packed(tensor, form: "a.1", count: 100)) == Array(repeating: 7, count: 100), "step \(step)")
        }
    }
}
