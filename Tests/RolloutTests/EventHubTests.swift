import Rollout
import StrictJSON
import Testing

@Suite("events, for who watches")
struct EventHubTests {
    private func numbers(_ stream: AsyncStream<EventHub.Event>, _ count: Int) async -> [Int] {
        var numbers: [Int] = []
        for await event in stream {
            numbers.append(event.number)
            if numbers.count == count { break }
        }
        return numbers
    }

    private func post(_ hub: EventHub, _ range: ClosedRange<Int>) { for number in range { hub.post(.rollout, "stage", ["n": .integer(Int64(number))]) } }

    @Test("who listens hears what comes from then on, in order, with rising numbers")
    func order() async throws {
        let hub = EventHub()
        post(hub, 1...3)
        let stream = try #require(hub.listen())
        post(hub, 4...8)
        #expect(await numbers(stream, 5) == [4, 5, 6, 7, 8])
    }

    @Test("who comes back gets what was missed, once, and no more than is kept")
    func resumes() async throws {
        let hub = EventHub()
        post(hub, 1...10)
        let stream = try #require(hub.listen(after: 7))
        post(hub, 11...11)
        #expect(await numbers(stream, 4) == [8, 9, 10, 11])
        post(hub, 12...1000)
        let late = try #require(hub.listen(after: 7))
        let first = await numbers(late, EventHub.kept)
        // By the gap a listener learns that it missed something.
        #expect(first == Array(1000 - EventHub.kept + 1...1000))
    }

    @Test("who has everything gets nothing twice, and who comes from an earlier process gets all there is")
    func edges() async throws {
        let hub = EventHub()
        post(hub, 1...5)
        let none = try #require(hub.listen(after: 5))
        let all = try #require(hub.listen(after: 4711))
        let zero = try #require(hub.listen(after: 0))
        post(hub, 6...6)
        #expect(await numbers(none, 1) == [6])
        #expect(await numbers(all, 6) == [1, 2, 3, 4, 5, 6])
        #expect(await numbers(zero, 6) == [1, 2, 3, 4, 5, 6])
    }

    @Test("who is slow holds nobody up: the newest are kept, the gap shows in the numbers")
    func slow() async throws {
        let hub = EventHub()
        let stream = try #require(hub.listen())
        post(hub, 1...1000)
        let heard = await numbers(stream, EventHub.kept)
        #expect(heard == Array(1000 - EventHub.kept + 1...1000))
    }

    @Test("so many may listen and no more; who leaves makes room")
    func bounded() throws {
        let hub = EventHub()
        var streams = (0..<EventHub.mostListeners).map { _ in hub.listen() }
        #expect(streams.allSatisfy { $0 != nil })
        #expect(hub.listen() == nil)
        streams.removeLast()
        #expect(hub.listen() != nil)
        streams.removeAll()
        #expect((0..<EventHub.mostListeners).map { _ in hub.listen() }.allSatisfy { $0 != nil })
    }

    @Test("listeners that come and go beside those who post: each hears rising numbers without doubles")
    func beside() async {
        let hub = EventHub()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2 { group.addTask { for _ in 0..<2000 { hub.post(.health, "x", .null) } } }
            for _ in 0..<2 {
                group.addTask {
                    for _ in 0..<50 {
                        guard let stream = hub.listen(after: 0) else { continue }
                        var last = 0
                        for await event in stream {
                            #expect(event.number > last)
                            last = event.number
                            if last >= 4000 || last % 64 == 0 { break }
                        }
                        if last >= 4000 { return }
                    }
                }
            }
            // So that nobody waits for ever once all is posted.
            group.addTask {
                for _ in 0..<200 {
                    try? await Task.sleep(for: .milliseconds(2))
                    hub.post(.health, "last", .null)
                }
            }
        }
    }

    @Test("an event is an object on one line")
    func json() async throws {
        let hub = EventHub()
        let stream = try #require(hub.listen())
        hub.post(.verdict, "promote", ["version": "9f3c"])
        var iterator = stream.makeAsyncIterator()
        let event = try #require(await iterator.next())
        let json = event.json
        #expect(json["number"]?.integer == 1 && json["topic"]?.string == "verdict" && json["kind"]?.string == "promote")
        #expect(json["body"]?["version"]?.string == "9f3c" && WallClock.seconds(of: json["at"]?.string ?? "") != nil)
        #expect(!json.serialized.contains("\n"))
    }
}
