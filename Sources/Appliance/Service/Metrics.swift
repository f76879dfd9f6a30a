import ApplianceConfiguration
import Engine
import Glibc
import ModelFormat
import Rollout
import Synchronization

/// Counters and histograms of this process, rendered as Prometheus text (exposition format 0.0.4).
final class Metrics: Sendable {
    /// Upper bounds in seconds.
    private static let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

    private struct Route: Hashable {
        let route: String
        let status: Int
    }

    private struct State {
        var requests: [Route: UInt64] = [:]
        var errors: [ErrorCode: UInt64] = [:]
        var seconds: [String: Histogram] = [:]
        var blanks: UInt64 = 0
        var tokens: UInt64 = 0
    }

    private let state = Mutex(State())
    private let started = ContinuousClock.now

    /// - Parameter route: the pattern, never the path as it was asked for: a label must not grow with what clients send.
    func request(_ route: String, status: Int, took: Duration) {
        state.withLock { state in
            state.requests[Route(route: route, status: status), default: 0] += 1
            state.seconds[route, default: Histogram(bounds: Self.bounds)].record(took / .seconds(1))
        }
    }

    func error(_ code: ErrorCode) {
        state.withLock { $0.errors[code, default: 0] += 1 }
    }

    func answered(blanks: Int, tokens: Int) {
        state.withLock { state in
            state.blanks += UInt64(blanks)
            state.tokens += UInt64(tokens)
        }
    }

    func text(_ appliance: Appliance) -> String {
        var text = PrometheusText()
        let version = appliance.rollout.models.live
        text.gauge("tiankong_ready", "1 when a version answers.", version == nil ? 0 : 1)
        if let version {
            text.begin("tiankong_version_info", "gauge", "The live version.")
            text.line(
                "tiankong_version_info",
                [
                    ("version", "\(version.fingerprint)"), ("release", version.release), ("isa", appliance.pool.isa.rawValue),
                    ("precision", appliance.settings.model.precision.rawValue),
                ], 1)
            text.gauge("tiankong_epoch", "Epoch of the live version.", Double(version.epoch))
        }
        text.gauge("tiankong_queue_waiting", "Questions that wait for a thread.", Double(appliance.pool.waiting))
        text.gauge("tiankong_queue_limit", "Questions that may wait.", Double(appliance.settings.limits.queue))
        text.gauge("tiankong_deadline_seconds", "For a question, from its arrival.", appliance.settings.limits.deadline / .seconds(1))
        text.gauge("tiankong_connections", "Open connections.", Double(appliance.connections.count))
        text.gauge("tiankong_resident_bytes", "Resident memory, shared mappings included.", Double(Self.residentBytes()))
        text.gauge("tiankong_uptime_seconds", "Since the process started.", (.now - started) / .seconds(1))
        let state = state.withLock { $0 }
        text.counter("tiankong_blanks_total", "Blanks answered.", state.blanks)
        text.counter("tiankong_tokens_total", "Tokens computed for answers.", state.tokens)
        text.begin("tiankong_errors_total", "counter", "Requests refused or failed, by code.")
        for code in ErrorCode.allCases {
            text.line("tiankong_errors_total", [("code", code.rawValue)], Double(state.errors[code] ?? 0))
        }
        text.begin("tiankong_requests_total", "counter", "Requests by route and status.")
        for (key, count) in state.requests.sorted(by: { ($0.key.route, $0.key.status) < ($1.key.route, $1.key.status) }) {
            text.line("tiankong_requests_total", [("route", key.route), ("status", "\(key.status)")], Double(count))
        }
        text.begin("tiankong_request_seconds", "histogram", "From the head of a request to its answer.")
        for (route, histogram) in state.seconds.sorted(by: { $0.key < $1.key }) {
            text.histogram("tiankong_request_seconds", [("route", route)], histogram)
        }
        text.add(appliance.rollout.metrics.snapshot)
        text.add(appliance.rollout.standing, hooks: appliance.hooks.counts)
        text.add(appliance.rollout.models)
        return text.text
    }

    /// The second field of /proc/self/statm (proc_pid_statm(5)), in pages.
    static func residentBytes() -> Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 128)
        guard fgets(&buffer, Int32(buffer.count), file) != nil else { return 0 }
        let fields = buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }.split(separator: " ")
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
