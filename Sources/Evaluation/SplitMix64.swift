/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014: the same seed gives the same
/// numbers on every machine, which the system's generator does not.
public struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Below `limit`, by the high half of a product: its bias, limit / 2⁶⁴, is far beneath what any resample shows.
    mutating func index(below limit: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(limit)).high) }
}
