import ApplianceConfiguration
import Explain
import Glibc
import HTTPTypes
import Hummingbird
import Rollout

/// Who may ask: over the socket anyone the file system lets in, over TCP the networks of the configuration.
///
/// Against pages of other sites: a `Host` that is not ours (DNS rebinding) and, on POST, an `Origin` that is not ours
/// are refused; and a POST must say `application/json`, which no plain form of another site can.
enum Access {
    static func check(_ request: Request, _ context: Context, _ appliance: Appliance) throws(Problem) {
        if context.isLocalSocket { return }
        let access = appliance.settings.access
        if let client = clientAddress(request, context, access), !access.networks.contains(where: { $0.contains(client) }) {
            throw Problem(
                .forbiddenNetwork, field: "access.networks", expected: "an address of a listed network", found: client)
        }
        let hosts = ourNames(access, context)
        if let authority = request.head.authority, let host = hostName(authority), !hosts.contains(host), !isAddress(host) {
            throw Problem(
                .forbiddenOrigin, field: "Host", expected: hosts.joined(separator: ", ") + " or an address",
                found: authority, hint: .init("add the name to access.hosts", zh: "请将该名称加入 access.hosts"))
        }
        if request.method == .post, let origin = request.headers[.origin] {
            guard let host = originHost(origin), hosts.contains(host) || isOurs(host, context) else {
                throw Problem(
                    .forbiddenOrigin, field: "Origin", expected: "this appliance's own page", found: origin,
                    hint: .init("add the name to access.hosts", zh: "请将该名称加入 access.hosts"))
            }
        }
    }

    /// The address a TCP request comes from: the peer's, or, where that is a trusted proxy, the nearest address of
    /// `X-Forwarded-For` that is none. What stands further left in that field is what the client itself wrote.
    static func clientAddress(_ request: Request, _ context: Context, _ access: Settings.Access) -> String? {
        guard let peer = context.peer else { return nil }
        let isTrusted = { (address: String) in access.trustedProxies.contains { $0.contains(address) } }
        guard isTrusted(peer) else { return peer }
        let hops = request.headers[values: .forwardedFor].flatMap { $0.split(separator: ",") }
            .map { String($0.filter { $0 != " " }) }
        for hop in hops.reversed() where !isTrusted(hop) { return hop }
        return hops.first ?? peer
    }

    static func isLoopback(_ address: String) -> Bool {
        address == "::1" || address.hasPrefix("127.") || address.hasPrefix("::ffff:127.")
    }

    /// Who asks, as far as fairness in the queue goes: the address where it is from beyond this machine, else the
    /// connection, for behind the socket and the loopback are many.
    static func turnKey(_ request: Request, _ context: Context, _ access: Settings.Access) -> UInt64 {
        if let address = clientAddress(request, context, access), !isLoopback(address) {
            return UInt64(truncatingIfNeeded: address.hashValue)
        }
        return UInt64(truncatingIfNeeded: ObjectIdentifier(context.channel as AnyObject).hashValue)
    }

    /// Who asks, as far as the choice of a version goes, so that nobody flips to and fro: the browser's cookie, else the
    /// address, else the user of the local socket, where a program may say who it asks for.
    static func clientKey(_ request: Request, _ context: Context, _ access: Settings.Access) async -> ClientKey {
        if context.isLocalSocket, let name = request.headers[.client], !name.isEmpty { return ClientKey("name " + name.prefix(200)) }
        if let session = ClientCookie.read(request) { return ClientKey("session " + session) }
        if let address = clientAddress(request, context, access) { return ClientKey("address " + address) }
        return ClientKey("user \(await Authority.user(of: context.channel).map { "\($0)" } ?? "unknown")")
    }

    private static func ourNames(_ access: Settings.Access, _ context: Context) -> [String] {
        access.hosts + ["localhost", machineName]
    }

    private static let machineName: String = {
        var buffer = [CChar](repeating: 0, count: 256)
        gethostname(&buffer, buffer.count - 1)
        return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }.lowercased()
    }()

    /// The address that was connected to.
    private static func isOurs(_ host: String, _ context: Context) -> Bool {
        host == context.channel.localAddress?.ipAddress
    }

    /// A rebinding attack needs a name; an address names only the machine it belongs to.
    private static func isAddress(_ host: String) -> Bool { Network(host) != nil && !host.contains("/") }

    /// The host of `host:port`, `[v6]:port` or `host`, in lower case.
    static func hostName(_ authority: String) -> String? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            return authority[authority.index(after: authority.startIndex)..<end].lowercased()
        }
        return authority.split(separator: ":", omittingEmptySubsequences: false).first.map { $0.lowercased() }
    }

    /// The host of `http://host:port` or `https://…`; nil for `null` and anything else.
    static func originHost(_ origin: String) -> String? {
        for scheme in ["http://", "https://"] where origin.hasPrefix(scheme) {
            return hostName(String(origin.dropFirst(scheme.count)))
        }
        return nil
    }
}
