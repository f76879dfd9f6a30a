import Foundation
import Rollout
import Testing

@Suite("who is asked to try")
struct ShareTests {
    private static let clients = (0..<20_000).map { ClientKey("10.\($0 / 65_536).\($0 / 256 % 256).\($0 % 256)") }
    private static let sessions = (0..<20_000).map { ClientKey("session \($0)") }
    private static let salts = ["v2026.11", "9f3c", "", "审阅"]

    @Test("5, 20, 50 and 100 % hold within a point over 20 000 clients, whatever the candidate is called", arguments: [0, 1, 5, 20, 50, 80, 99, 100], salts)
    func shares(percent: Int, salt: String) {
        for clients in [Self.clients, Self.sessions] {
            let share = Share(percent: percent, salt: salt)
            let found = Double(clients.count { share.contains($0) }) / Double(clients.count) * 100
            #expect(abs(found - Double(percent)) <= 1, "\(found)")
            if percent == 0 || percent == 100 { #expect(found == Double(percent)) }
        }
    }

    @Test("who is in five per cent is in twenty, in fifty and in all: nobody goes to and fro", arguments: salts)
    func nested(salt: String) {
        for client in Self.clients {
            let inside = (0...100).map { Share(percent: $0, salt: salt).contains(client) }
            #expect(inside == inside.sorted { !$0 && $1 })
        }
    }

    @Test("a client stays on its side: the same key is the same in every process")
    func stable() {
        // FNV-1a's published values (Fowler, Noll, Vo).
        #expect(ClientKey("").value == 0xcbf2_9ce4_8422_2325)
        #expect(ClientKey("a").value == 0xaf63_dc4c_8601_ec8c)
        #expect(ClientKey("foobar").value == 0x8594_4171_f739_67e8)
        for client in Self.clients.prefix(1000) {
            let share = Share(percent: 20, salt: "v2")
            let first = share.contains(client)
            for _ in 0..<5 { #expect(Share(percent: 20, salt: "v2").contains(client) == first) }
        }
    }

    @Test("each candidate is tried by others: two candidates' fifths share a twenty-fifth")
    func salted() {
        let (one, other) = (Share(percent: 20, salt: "v2"), Share(percent: 20, salt: "v3"))
        let both = Double(Self.clients.count { one.contains($0) && other.contains($0) }) / Double(Self.clients.count)
        #expect(abs(both - 0.04) < 0.01)
    }

    @Test("neighbours in name are not neighbours in the share: any run of a hundred has its part")
    func spread() {
        let share = Share(percent: 20, salt: "v2")
        let parts = stride(from: 0, to: Self.clients.count, by: 100).map { start in
            Self.clients[start..<start + 100].count { share.contains($0) }
        }
        #expect(parts.allSatisfy { (3...40).contains($0) })
    }
}
