import Disk
import StrictJSON

/// A safetensors file (github.com/huggingface/safetensors, "Format"):
///
///     offset 0        u64, little-endian: N, the header's length
///     offset 8        N bytes: a JSON object, name → {"dtype", "shape", "data_offsets": [begin, end]}, and `__metadata__`
///     offset 8 + N    the data; data_offsets count from here
///
/// Tensors fill the data without gaps or overlaps, in any order of their names. Everything is checked before anything
/// is believed: nothing is allocated by a length that the file itself does not back with bytes.
struct SafeTensors {
    let tensors: [StoredTensor]
    /// Tensors of other dtypes (an I64 `position_ids`), by name.
    let others: [(name: String, dtype: String)]

    /// The format's own limit.
    static let longestHeader = 100_000_000

    init(_ bytes: SharedBytes, file: String) throws(ModelFormatError) {
        let all = bytes.addressWhileHeld
        defer { withExtendedLifetime(bytes) {} }
        guard all.count >= 8 else {
            throw .header(file: file, expected: "at least 8 bytes", found: "\(all.count)")
        }
        let length = UInt64(littleEndian: all.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(min(Self.longestHeader, all.count - 8)) else {
            throw .header(
                file: file, expected: "a header of at most \(min(Self.longestHeader, all.count - 8)) bytes",
                found: "a header of \(length)")
        }
        let start = 8 + Int(length)
        let json: JSON
        do { json = try JSON(parsing: UnsafeRawBufferPointer(rebasing: all[8..<start]), depth: 8) } catch {
            throw .json(file: file, error)
        }
        guard let members = json.members else {
            throw .header(file: file, expected: "a header that is an object", found: json.kind)
        }
        var entries: [Entry] = []
        for member in members where member.key != "__metadata__" {
            entries.append(try Entry(member, file: file))
        }
        try Self.checkLayout(entries, data: all.count - start, file: file)
        var tensors: [StoredTensor] = []
        for entry in entries {
            guard let dtype = DType(rawValue: entry.dtype) else { continue }
            tensors.append(
                try StoredTensor(
                    name: entry.name, dtype: dtype, shape: entry.shape, owner: bytes,
                    range: start + entry.begin..<start + entry.end, file: file))
        }
        self.tensors = tensors
        others = entries.filter { DType(rawValue: $0.dtype) == nil }.map { ($0.name, $0.dtype) }
    }

    /// One after the other from 0 to the end.
    private static func checkLayout(_ entries: [Entry], data: Int, file: String) throws(ModelFormatError) {
        var end = 0
        for entry in entries.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            guard entry.begin == end, entry.end >= entry.begin, entry.end <= data else {
                throw .offsets(
                    file: file, tensor: entry.name, expected: "offsets from \(end), at most \(data)",
                    found: "[\(entry.begin), \(entry.end)]")
            }
            end = entry.end
        }
        guard end == data else {
            throw .header(file: file, expected: "\(end) bytes of tensors", found: "\(data)")
        }
    }
}

/// One member of the header.
private struct Entry {
    let name: String
    let dtype: String
    let shape: [Int]
    let begin: Int
    let end: Int

    init(_ member: JSON.Member, file: String) throws(ModelFormatError) {
        func wrong(_ key: String, _ expected: String) -> ModelFormatError {
            .key(
                file: file, key: "\(member.key).\(key)", expected: expected,
                found: member.value[key]?.serialized ?? "nothing")
        }
        name = member.key
        guard let keys = member.value.members?.map(\.key), keys.allSatisfy(["dtype", "shape", "data_offsets"].contains)
        else {
            throw .key(
                file: file, key: member.key, expected: "dtype, shape and data_offsets",
                found: member.value.members.map { $0.map(\.key).joined(separator: ", ") } ?? member.value.kind)
        }
        guard let dtype = member.value["dtype"]?.string else { throw wrong("dtype", "a string") }
        guard let sizes = member.value["shape"]?.elements, sizes.count <= 8 else {
            throw wrong("shape", "a list of at most 8 sizes")
        }
        let shape = sizes.compactMap(\.integer)
        guard shape.count == sizes.count, shape.allSatisfy({ $0 >= 0 }) else { throw wrong("shape", "whole numbers") }
        guard let offsets = member.value["data_offsets"]?.elements, offsets.count == 2,
            let begin = offsets[0].integer, let end = offsets[1].integer, begin >= 0, end >= begin
        else { throw wrong("data_offsets", "a begin and an end") }
        (self.dtype, self.shape, self.begin, self.end) = (dtype, shape, begin, end)
    }
}
