/// What this machine can do at best, measured: what times are compared with.
public struct Peaks: Sendable {
    /// fp32 multiply-adds of all threads, in 10⁹ operations a second.
    public let multiplyAdds: Double
    /// The eight-bit dot product of the instruction set, likewise.
    public let dots: Double
    /// 10⁹ bytes a second read by all threads, from more than a cache holds.
    public let reading: Double

    /// About a second; the best of nine, for what others take of the machine meanwhile is no limit of it.
    public static func measure(threads: Int, isa: ISA) async throws(EngineError) -> Peaks {
        let kernels = try Kernels(isa)
        let multiplyAdds = await best(threads) { Double(kernels.multiplyAdds(rounds: 400_000)) }
        let dots = await best(threads) { Double(kernels.dots(rounds: 400_000)) }
        let bytes = 256 << 20
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4096)
        defer { memory.deallocate() }
        for offset in stride(from: 0, to: bytes, by: 8) { memory.storeBytes(of: UInt64(offset), toByteOffset: offset, as: UInt64.self) }
        let address = UInt(bitPattern: memory.baseAddress)
        let reading = await best(threads) { rank in
            Double(Kernels.read(UnsafeRawPointer(bitPattern: address)!, rank * (bytes / threads)..<(rank + 1) * (bytes / threads)))
        }
        return Peaks(multiplyAdds: multiplyAdds, dots: dots, reading: reading)
    }

    private static func best(_ threads: Int, _ work: @escaping @Sendable () -> Double) async -> Double {
        await best(threads) { _ in work() }
    }

    /// - Returns: 10⁹ a second of what `work` counts, all threads together.
    private static func best(_ threads: Int, _ work: @escaping @Sendable (Int) -> Double) async -> Double {
        var rates: [Double] = []
        for _ in 0..<9 {
            let start = ContinuousClock.now
            let done = await withTaskGroup(of: Double.self) { group in
                for rank in 0..<threads { group.addTask { work(rank) } }
                return await group.reduce(0, +)
            }
            let took = ContinuousClock.now - start
            rates.append(done / (Double(took.components.attoseconds) * 1e-18 + Double(took.components.seconds)) * 1e-9)
        }
        return rates.max() ?? 0
    }
}
