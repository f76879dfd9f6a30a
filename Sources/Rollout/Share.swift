/// Who asks, as far as anybody can tell: a session, an address, a user; as 64 bits.
///
/// FNV-1a, for it has to be the same in every process, and Swift's own hashes are not.
public struct ClientKey: Sendable, Hashable {
    public let value: UInt64

    public init(_ text: some StringProtocol) { value = Self.hash(text.utf8, from: 0xcbf2_9ce4_8422_2325) }

    fileprivate static func hash(_ bytes: some Sequence<UInt8>, from start: UInt64) -> UInt64 {
        bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }
}

/// A share of all clients, always the same ones: whoever is in five per cent is in twenty, so nobody flips to and fro.
/// Each candidate has other ones (`salt`), so that it is not always the same people who try.
public struct Share: Sendable, Equatable {
    /// 0 to 100.
    public let percent: Int
    private let seed: UInt64

    public init(percent: Int, salt: String) {
        self.percent = percent
        seed = ClientKey(salt).value
    }

    public func contains(_ client: ClientKey) -> Bool { place(of: client) < UInt64(percent) * 100 }

    /// 0 to 9 999.
    func place(of client: ClientKey) -> UInt64 {
        // MurmurHash3's last steps (Appleby, 2011): FNV's high bits depend too little on a text's last ones.
        var mixed = client.value ^ seed
        mixed = (mixed ^ mixed >> 33) &* 0xff51_afd7_ed55_8ccd
        mixed = (mixed ^ mixed >> 33) &* 0xc4ce_b9fe_1a85_ec53
        mixed ^= mixed >> 33
        // The high half times the range: no bias worth speaking of, no division.
        return ((mixed >> 32) * 10_000) >> 32
    }
}
