import ApplianceConfiguration
import Explain
import HTTPTypes
import Hummingbird
import NIOCore
import Rollout

/// `GET /v1/events?after=N&topics=A,B`: what happens, as it happens (server-sent events, WHATWG HTML).
struct EventRoutes: Sendable {
    let appliance: Appliance

    @Sendable func events(_ request: Request, _ context: Context) throws -> Response {
        let (topics, after) = (try topics(request), try after(request))
        var headers: HTTPFields = [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-store"]
        // nginx would collect events until it has a buffer full of them.
        headers[.accelBuffering] = "no"
        // Who wants to know only whether there is something takes nobody's place.
        if request.method == .head { return Response(status: .ok, headers: headers, body: ResponseBody { try await $0.finish(nil) }) }
        guard let events = appliance.rollout.events.listen(after: after) else {
            throw Problem(
                .overloaded, field: "events", expected: "at most \(EventHub.mostListeners) listeners", found: "one more",
                hint: .init("close those that nobody reads", zh: "请关闭无人读取的连接"))
        }
        let feed = EventFeed(events, topics: topics, channel: context.channel, connections: appliance.connections)
        return Response(status: .ok, headers: headers, body: ResponseBody { try await feed.write(to: &$0) })
    }

    private func topics(_ request: Request) throws(Problem) -> Set<EventHub.Topic> {
        guard let text = request.uri.queryParameters["topics"] else { return Set(EventHub.Topic.allCases) }
        var topics: Set<EventHub.Topic> = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let topic = EventHub.Topic(rawValue: String(word)) else {
                let all = EventHub.Topic.allCases.map(\.rawValue).joined(separator: ", ")
                throw Problem(.outOfRange, field: "topics", expected: "some of \(all), with commas between", found: String(word).plain)
            }
            topics.insert(topic)
        }
        return topics
    }

    /// A browser that comes back says in the header what it had; the address it asks still has what it began with.
    private func after(_ request: Request) throws(Problem) -> Int? {
        let range = 0...Int(Int32.max)
        if let last = request.headers[.lastEventID] { return try Request.number(last, "Last-Event-ID", in: range) }
        guard request.uri.queryParameters["after"] != nil else { return nil }
        return try request.number("after", in: range, fallback: 0)
    }
}

extension HTTPField.Name {
    fileprivate static let accelBuffering = HTTPField.Name("X-Accel-Buffering")!
    fileprivate static let lastEventID = HTTPField.Name("Last-Event-ID")!
}
