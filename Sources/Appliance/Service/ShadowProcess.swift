import ApplianceConfiguration
import Disk
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
    /// A question takes milliseconds; a machine that gives it none for so long has none to try a candidate with.
    private static let longestSilence: Duration = .seconds(300)

    func cast(_ order: ShadowOrder) -> AsyncStream<ShadowEvent> {
        AsyncStream { continuation in
            let voice = Voice(continuation)
            let work = Task {
                let end = await outcome(of: order, voice)
                voice.say(end)
                continuation.finish()
            }
            let watch = Task {
                while !Task.isCancelled, voice.silence < Self.longestSilence { try? await Task.sleep(for: .seconds(5)) }
                if Task.isCancelled { return }
                voice.say(.broke("said nothing for \(Self.longestSilence)"))
                work.cancel()
            }
            continuation.onTermination = { _ in
                work.cancel()
                watch.cancel()
            }
        }
    }

    /// What it says, up to the first thing that nothing can follow.
    private final class Voice: Sendable {
        private struct State {
            var last = ContinuousClock.now
            var hasEnded = false
        }
        private let state = Mutex(State())
        private let continuation: AsyncStream<ShadowEvent>.Continuation

        init(_ continuation: AsyncStream<ShadowEvent>.Continuation) { self.continuation = continuation }

        var silence: Duration { state.withLock { .now - $0.last } }

        func say(_ event: ShadowEvent?) {
            guard let event else { return }
            let isHeard = state.withLock { state in
                defer {
                    state.last = .now
                    switch event {
                    case .complete, .broke, .unavailable: state.hasEnded = true
                    case .ready, .pair: break
                    }
                }
                return !state.hasEnded
            }
            if isHeard { continuation.yield(event) }
        }
    }

    /// - Returns: what its end says, where its own lines did not.
    private func outcome(of order: ShadowOrder, _ voice: Voice) async -> ShadowEvent? {
        do {
            let threads = await affordable()
            // What a crash leaves on stderr belongs into the service's log.
            let result = try await run(
                .path("/proc/self/exe"), arguments: Arguments(arguments(order, threads)), platformOptions: options,
                input: .string(order.recent.map { $0.replacing("\n", with: " ") + "\n" }.joined()), output: .sequence,
                error: .fileDescriptor(.standardError, closeAfterSpawningProcess: false)
            ) { execution in
                for try await line in execution.standardOutput.strings(bufferingPolicy: .maxLineLength(Self.longestLine)) {
                    voice.say(ShadowEvent(line: line.utf8.filter { $0 != 0x0A }))
                }
            }
            switch result.terminationStatus {
            case .exited(let code): return .broke("ended with \(code)")
            case .signaled(let signal): return .broke("was ended by signal \(signal)")
            }
        } catch is CancellationError {
            return nil
        } catch {
            return .unavailable("\(error)")
        }
    }

    /// All of them on a machine with nothing to do; one where others compute: two of which each gets a core now and then
    /// wait for each other most of the time.
    private func affordable() async -> Int {
        guard let before = Disk().processorTimes() else { return 1 }
        try? await Task.sleep(for: .milliseconds(500))
        guard let after = Disk().processorTimes(), after.all > before.all else { return 1 }
        return Double(after.idle - before.idle) / Double(after.all - before.all) > 0.6 ? threads : 1
    }

    private func arguments(_ order: ShadowOrder, _ threads: Int) -> [String] {
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
