import Glibc
import Logging
import Rollout
import StrictJSON
import Subprocess
import Synchronization
import SystemPackage

/// One program, told of one event: its JSON on a line of stdin, ten seconds, then SIGTERM to all that it started, and
/// SIGKILL two seconds later.
struct HookRun: Sendable {
    let program: String
    let event: EventHub.Event
    let logger: Logger

    private static let limit: Duration = .seconds(10)
    private static let grace: Duration = .seconds(2)
    /// Of what it says, for the log.
    private static let longestOutput = 4 << 10

    func outcome() async -> Hooks.Outcome {
        let outcome = await withTaskGroup(of: Hooks.Outcome.self) { group in
            group.addTask { await run() }
            group.addTask {
                try? await Task.sleep(for: Self.limit)
                return .timeout
            }
            let first = await group.next() ?? .failed
            group.cancelAll()
            await group.waitForAll()
            return first
        }
        if outcome == .timeout { logger.warning("a hook took too long, and was ended", metadata: fields) }
        return outcome
    }

    private func run() async -> Hooks.Outcome {
        let leader = Atomic<pid_t>(0)
        // What outlives its parent and does not heed SIGTERM: all of it is in the program's own session.
        defer { if Task.isCancelled, leader.load(ordering: .relaxed) > 1 { kill(-leader.load(ordering: .relaxed), SIGKILL) } }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(program)), environment: environment, workingDirectory: "/", platformOptions: options,
                input: .inputWriter, output: .sequence, error: .combinedWithOutput
            ) { execution in
                leader.store(execution.processIdentifier.value, ordering: .relaxed)
                // Who does not read what happened need not: a broken pipe is no fault.
                async let told: Void = write(to: execution.standardInputWriter)
                let output = try await collect(execution.standardOutput)
                await told
                return output
            }
            say(result.closureResult)
            if case .exited(0) = result.terminationStatus { return .ok }
            logger.warning("a hook failed", metadata: fields.merging(["status": "\(result.terminationStatus)"]) { $1 })
        } catch {
            // Cancelled where it took too long; else it could not be started, or its pipe read.
            if !Task.isCancelled { logger.warning("a hook failed", metadata: fields.merging(["reason": "\(error)"]) { $1 }) }
        }
        return .failed
    }

    private func write(to input: StandardInputWriter) async {
        _ = try? await input.write(Array((event.json.serialized + "\n").utf8))
        try? await input.finish()
    }

    /// Reads to the end, whatever is kept of it: who has nobody to read stands still.
    private func collect(_ output: SubprocessOutputSequence) async throws -> [UInt8] {
        var kept: [UInt8] = []
        for try await part in output {
            part.withUnsafeBytes { kept += $0.prefix(Self.longestOutput - kept.count) }
        }
        return kept
    }

    private func say(_ output: [UInt8]) {
        for line in String(decoding: output, as: UTF8.self).split(separator: "\n") {
            logger.debug("a hook says", metadata: fields.merging(["text": "\(line)"]) { $1 })
        }
    }

    private var fields: Logger.Metadata { ["hook": "\(program)", "event": "\(event.kind)", "number": "\(event.number)"] }

    private var environment: Environment {
        let path = Paths.processEnvironment["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return .custom(["PATH": path, "TIANKONG_EVENT": event.kind, "TIANKONG_TOPIC": event.topic.rawValue])
    }

    private var options: PlatformOptions {
        var options = PlatformOptions()
        options.createSession = true
        options.teardownSequence = [.gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: Self.grace)]
        return options
    }
}
