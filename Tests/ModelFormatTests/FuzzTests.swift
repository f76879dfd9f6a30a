import Disk
import Explain
import ModelFormat
import StrictJSON
import TestSupport
import Testing

@Suite("spoiled models never crash")
struct FuzzTests {
    /// SplitMix64: the same mutations in every run.
    struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test("10 000 mutated headers, configurations and vocabularies are opened or refused")
    func mutations() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/model"
        try GoodModel().write(to: path)
        var random = Random(state: 42)
        let files = ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"]
        let good = try files.map { try Disk().read(path + "/" + $0, atMost: 1 << 20) }
        var (opened, refused) = (0, 0)
        for round in 0..<10_000 {
            // Most of the time the weights' header, where most can go wrong.
            let file = round % 4 == 0 ? round / 4 % 3 : 3
            let spoiled = spoil(good[file], isWeights: file == 3, &random)
            let copies = files.indices.map { index in copy(index == file ? spoiled : good[index]) }
            defer { for copy in copies { copy.deallocate() } }
            do {
                let owners = copies.map { SharedBytes(immortal: $0) }
                let contents = try ModelContents(embedded: Dictionary(uniqueKeysWithValues: zip(files, owners)))
                for tensor in contents.tensors { _ = try? tensor.checkFinite() }
                opened += 1
            } catch {
                #expect(!error.message.en.isEmpty)
                refused += 1
            }
        }
        #expect(opened > 0 && refused > 5_000, "opened \(opened), refused \(refused)")
    }

    private func spoil(_ good: [UInt8], isWeights: Bool, _ random: inout Random) -> [UInt8] {
        var bytes = good
        let header = isWeights ? 8 + Int(bytes[0]) + Int(bytes[1]) << 8 : bytes.count
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            guard !bytes.isEmpty else { break }
            let at = Int.random(in: 0..<min(header, bytes.count), using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[at] = .random(in: 0...255, using: &random)
            case 2: bytes = Array(bytes.prefix(at))
            case 3: bytes.insert(contentsOf: bytes[at...].prefix(Int.random(in: 1...40, using: &random)), at: at)
            case 4: bytes.removeSubrange(at..<min(at + Int.random(in: 1...20, using: &random), bytes.count))
            case 5:  // a number becomes an enormous one
                if let digit = bytes[at...].firstIndex(where: { (0x30...0x39).contains($0) }) {
                    bytes.replaceSubrange(digit...digit, with: Array("9223372036854775807".utf8))
                }
            default:  // the header's length lies
                if isWeights, bytes.count >= 8 { bytes[Int.random(in: 0..<8, using: &random)] = .random(in: 0...255, using: &random) }
            }
        }
        return bytes
    }

    /// Memory of exactly that length, so that a read beyond it has a chance to be noticed.
    private func copy(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(copy)
    }
}
