import Hummingbird
import NIOCore
import Rollout
import StrictJSON
import Synchronization

/// What one listener is sent: events as they come, and a comment every quarter of a minute, until it leaves or the service
/// stops. A client whose cable was pulled is noticed by the comments, one that does not read by what it leaves unread.
final class EventFeed: Sendable {
    private static let beat: TimeAmount = .seconds(15)
    /// For the last bytes, at the end.
    private static let farewell: TimeAmount = .seconds(2)

    private let events: AsyncStream<EventHub.Event>
    private let topics: Set<EventHub.Topic>
    private let channel: any Channel
    private let connections: Connections
    private let parts: AsyncStream<ByteBuffer>
    private let input: AsyncStream<ByteBuffer>.Continuation
    private let owesComment = Atomic(false)

    init(_ events: AsyncStream<EventHub.Event>, topics: Set<EventHub.Topic>, channel: any Channel, connections: Connections) {
        (self.events, self.topics, self.channel, self.connections) = (events, topics, channel, connections)
        (parts, input) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(EventHub.kept))
    }

    func write(to writer: inout any ResponseBodyWriter) async throws {
        let work = Task(executorPreference: LoopExecutor(channel.eventLoop)) { await self.forward() }
        // The loop's own timer: nothing is left of it when it is taken back.
        let timer = channel.eventLoop.scheduleRepeatedTask(initialDelay: Self.beat, delay: Self.beat) { _ in self.comment() }
        connections.whenLeft(channel) { [input] in input.finish() }
        defer {
            connections.whenLeft(channel, nil)
            timer.cancel()
            work.cancel()
        }
        // Proxies and clients see at once that it is open.
        try await writer.write(ByteBuffer(string: ": listening\n\n"))
        for await part in parts {
            try await writer.write(part)
            owesComment.store(false, ordering: .releasing)
        }
        try await writer.finish(nil)
    }

    private func forward() async {
        for await event in events where topics.contains(event.topic) {
            input.yield(ByteBuffer(string: "id: \(event.number)\nevent: \(event.topic.rawValue)\ndata: \(event.json.serialized)\n\n"))
        }
        input.finish()
        // Left or stopped: who does not read what is still to be read holds up nothing.
        let channel = channel
        if !Task.isCancelled { channel.eventLoop.scheduleTask(in: Self.farewell) { channel.close(promise: nil) } }
    }

    private func comment() {
        if owesComment.exchange(true, ordering: .acquiringAndReleasing) { return channel.close(promise: nil) }
        input.yield(ByteBuffer(string: ":\n\n"))
    }
}
