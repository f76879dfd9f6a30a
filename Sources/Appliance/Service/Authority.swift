import ApplianceConfiguration
import Disk
import Explain
import Glibc
import HTTPTypes
import Hummingbird
import NIOCore

/// Who may change what is served: over the local socket root, the service's own user and members of the admin group, by
/// what the kernel says of the other side (SO_PEERCRED, unix(7)); over TCP who knows the admin token, from this machine
/// alone, for without TLS a token is everybody's who listens.
enum Authority {
    /// - Returns: who it is, for the history.
    static func admin(_ request: Request, _ context: Context, _ appliance: Appliance) async throws(Problem) -> String {
        let access = appliance.settings.access
        if context.isLocalSocket {
            guard let peer = await credentials(of: context.channel) else { throw refusal("an admin", "nobody known") }
            guard peer.uid == 0 || peer.uid == geteuid() || isMember(peer, of: access.adminGroup) else {
                throw refusal("root, the service's user or a member of \(access.adminGroup)", userName(peer.uid))
            }
            return userName(peer.uid)
        }
        let client = Access.clientAddress(request, context, access) ?? "?"
        guard client == "::1" || client.hasPrefix("127.") else { throw refusal("the local socket, or this machine", client) }
        guard let file = access.adminTokenFile else { throw refusal("the local socket", "TCP, and access.admin_token_file is not set") }
        guard let bytes = try? Disk().read(file, atMost: 4096) else { throw refusal("a readable token in \(file)", "none") }
        let token = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        let given = request.headers[.authorization].flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil } ?? ""
        guard token.utf8.count >= 16 else { throw refusal("a token of at least 16 bytes in \(file)", "\(token.utf8.count) bytes") }
        guard isEqual(Array(token.utf8), Array(given.utf8)) else {
            throw refusal("Authorization: Bearer and the admin token", given.isEmpty ? "none" : "another one")
        }
        return "token from \(client)"
    }

    private static func refusal(_ expected: String, _ found: String) -> Problem {
        Problem(
            .forbiddenAdmin, field: "admin", expected: expected, found: found,
            hint: .init("use the local socket: sudo tiankong …", zh: "请使用本地套接字：sudo tiankong …"))
    }

    /// Takes as long whatever differs.
    private static func isEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard one.count == other.count else { return false }
        return zip(one, other).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// As the kernel lays it out (struct ucred); of the moment the other side connected.
    private struct Credentials: Sendable {
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
    }

    private static func credentials(of channel: any Channel) async -> Credentials? {
        guard let provider = channel as? any SocketOptionProvider else { return nil }
        return try? await provider.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED)).get()
    }

    /// Of the local socket's other side; nil where the kernel does not say.
    static func user(of channel: any Channel) async -> UInt32? { await credentials(of: channel)?.uid }

    private static func userName(_ uid: UInt32) -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 4096)
        guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name else {
            return "uid \(uid)"
        }
        return buffer.withUnsafeBufferPointer { _ in String(cString: name) }
    }

    private static func isMember(_ peer: Credentials, of group: String) -> Bool {
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        guard getgrnam_r(group, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return false }
        if peer.gid == entry.gr_gid { return true }
        var groups = [gid_t](repeating: 0, count: 1024)
        var count = Int32(groups.count)
        guard getgrouplist(userName(peer.uid), peer.gid, &groups, &count) >= 0 else { return false }
        return groups[..<Int(count)].contains(entry.gr_gid)
    }
}
