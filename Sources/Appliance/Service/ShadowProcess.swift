import ApplianceConfiguration
import Glibc
import Rollout
import Subprocess
import Synchronization
import SystemPackage

/// Casts a candidate's shadow in a process of its own (`tiankong shadow`): this very binary, by what the kernel knows it
/// by, for the file may have been replaced by an upgrade meanwhile.
struct ShadowProcess: Sendable {
    let settings: Settings
    let state: String
    let threads: Int

    private static let longestLine = 64 << 10
    /// Of what it says on stderr before it ends.
    private static let longestError = 4 << 10

    func cast(_ order: ShadowOrder) -> AsyncStream<ShadowEvent> {
        AsyncStream { continuation in
            let work = Task {
                for event in await outcome(of: order, continuation) { continuation.yield(event) }
                continuation.finish()
            }
            continuation.onTermination = { _ in work.cancel() }
        }
    }

    /// - Returns: what is to be said after its own lines.
    private func outcome(of order: ShadowOrder, _ continuation: AsyncStream<ShadowEvent>.Continuation) async -> [ShadowEvent] {
        let isComplete = Atomic(false)
        do {
            let result = try await run(
                .path("/proc/self/exe"), arguments: Arguments(arguments(order)), platformOptions: options,
                input: .string(order.recent.map { $0.replacing("\n", with: " ") + "\n" }.joined()), output: .sequence,
                error: .string(limit: Self.longestError)
            ) { execution in
                for try await line in execution.standardOutput.strings(bufferingPolicy: .maxLineLength(Self.longestLine)) {
                    guard let event = ShadowEvent(line: line.utf8.filter { $0 != 0x0A }) else { continue }
                    if case .complete = event { isComplete.store(true, ordering: .relaxed) }
                    continuation.yield(event)
                }
            }
            if isComplete.load(ordering: .relaxed) { return [] }
            let said = (result.standardError ?? "").split(separator: "\n").first.map { ": " + String($0).prefix(200) } ?? ""
            switch result.terminationStatus {
            case .exited(let code): return [.broke("ended with \(code)\(said)")]
            case .signaled(let signal): return [.broke("was ended by signal \(signal)\(said)")]
            }
        } catch is CancellationError {
            return []
        } catch {
            return [.unavailable("\(error)")]
        }
    }

    private func arguments(_ order: ShadowOrder) -> [String] {
        var arguments = [
            "shadow", "--state", state, "--live", "\(order.live)", "--candidate", "\(order.candidate)", "--precision",
            settings.model.precision.rawValue, "--threads", "\(threads)",
        ]
        arguments += ["--suites", settings.suites]
        return arguments
    }

    private var options: PlatformOptions {
        var options = PlatformOptions()
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .milliseconds(500))]
        return options
    }
}
