import ApplianceConfiguration
import Disk
import Glibc

/// Where things are when nobody says so (docs: "Configuration keys" in README and etc/tiankong/tiankong.yaml).
struct Paths: Sendable {
    let environment: [String: String]

    init(environment: [String: String] = Paths.processEnvironment) {
        self.environment = environment
    }

    private func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    func state(_ settings: Settings) -> String {
        if let state = settings.state { return state }
        if let state = variable("STATE_DIRECTORY") { return String(state.split(separator: ":")[0]) }
        return (variable("HOME") ?? "/root") + "/.local/state/tiankong"
    }

    /// The socket to serve on.
    func socket(_ settings: Settings) -> String {
        settings.socket ?? sockets[0]
    }

    /// Where a service's socket may be, the likeliest first.
    func sockets(_ settings: Settings) -> [String] {
        settings.socket.map { [$0] } ?? sockets
    }

    private var sockets: [String] {
        let folders = [
            variable("RUNTIME_DIRECTORY").map { String($0.split(separator: ":")[0]) },
            variable("XDG_RUNTIME_DIR").map { $0 + "/tiankong" }, "/run/tiankong",
        ]
        return folders.compactMap { $0.map { $0 + "/tiankong.sock" } }
    }

    static let processEnvironment: [String: String] = {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return variables
    }()
}
