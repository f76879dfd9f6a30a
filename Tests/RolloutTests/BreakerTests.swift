import Rollout
import Testing

@Suite("the breaker")
struct BreakerTests {
    /// - Returns: when it trips, looking at each second.
    private func trips(_ seconds: ClosedRange<Int>, _ at: (Int) -> (Int, Int)) -> (second: Int, Breaker.Trip)? {
        var breaker = Breaker()
        for second in seconds {
            let (answers, failures) = at(second)
            breaker.add(answers: answers, failures: failures, at: .seconds(second))
            if let trip = breaker.trip(at: .seconds(second)) { return (second, trip) }
        }
        return nil
    }

    @Test("nothing asked, nothing failed, and a failure now and then: it holds")
    func quiet() {
        #expect(Breaker().trip(at: .zero) == nil)
        #expect(trips(0...3600) { _ in (0, 0) } == nil)
        #expect(trips(0...3600) { _ in (100, 0) } == nil)
        // One in 200: what is tolerated.
        #expect(trips(0...3600) { ($0 % 2 == 0 ? 100 : 100, $0 % 2 == 0 ? 1 : 0) } == nil)
        #expect(trips(0...86_400) { $0 % 600 == 0 ? (1, 1) : $0 % 2 == 0 ? (1, 0) : (0, 0) } == nil)
    }

    @Test("one failure or two never trip it, the third in a row does")
    func third() {
        for failures in [1, 2] {
            var breaker = Breaker()
            breaker.add(answers: failures, failures: failures, at: .zero)
            #expect(breaker.trip(at: .zero) == nil)
        }
        #expect(trips(0...10) { _ in (1, 1) }?.second == 2)
    }

    @Test("everything fails: it trips within three answers, however seldom somebody asks", arguments: [1, 7, 60, 600, 3600, 40_000])
    func allFail(gap: Int) {
        var breaker = Breaker()
        for number in 0..<3 {
            #expect(breaker.trip(at: .seconds(gap * number)) == nil)
            breaker.add(answers: 1, failures: 1, at: .seconds(gap * number))
        }
        #expect(breaker.trip(at: .seconds(gap * 2)) == .init(answers: 3, failures: 3))
    }

    @Test("one in fifty fails at a hundred answers a second: it trips within a few seconds")
    func busy() throws {
        let trip = try #require(trips(0...60) { _ in (100, 2) })
        #expect(trip.second <= 5)
    }

    @Test("good answers of ten minutes ago excuse nothing where a minute has enough of its own")
    func forgets() throws {
        let trip = try #require(trips(0...700) { $0 < 600 ? (20, 0) : (20, 5) })
        #expect(trip.second < 605)
        #expect(trip.1.failures == 5 * (trip.second - 599))
    }

    @Test("failures of a burst are forgotten once there are two hundred answers and a minute behind them")
    func burst() {
        var breaker = Breaker()
        breaker.add(answers: 2, failures: 2, at: .seconds(10))
        for second in 11...200 { breaker.add(answers: 10, failures: 0, at: .seconds(second)) }
        breaker.add(answers: 1, failures: 1, at: .seconds(201))
        #expect(breaker.trip(at: .seconds(201)) == nil)
        // Where little is asked they are not.
        var slow = Breaker()
        slow.add(answers: 2, failures: 2, at: .seconds(10))
        slow.add(answers: 10, failures: 0, at: .seconds(1000))
        slow.add(answers: 1, failures: 1, at: .seconds(2000))
        #expect(slow.trip(at: .seconds(2000)) == .init(answers: 13, failures: 3))
    }

    @Test("a minute is a minute from the first second on")
    func firstMinute() {
        var breaker = Breaker()
        breaker.add(answers: 3, failures: 3, at: .seconds(1))
        for second in 2...58 { breaker.add(answers: 100, failures: 0, at: .seconds(second)) }
        // 3 of 5 703, seen as long as they are within the minute.
        #expect(breaker.trip(at: .seconds(58)) == nil)
        breaker.add(answers: 0, failures: 0, at: .seconds(58))
        var early = Breaker()
        early.add(answers: 3, failures: 3, at: .seconds(2))
        for second in [20, 40, 58] {
            early.add(answers: 1, failures: 0, at: .seconds(second))
            #expect(early.trip(at: .seconds(second)) != nil)
        }
    }

    @Test("counters that began anew, and counts that cannot be, change nothing")
    func impossible() {
        let empty = Breaker()
        for (answers, failures) in [(-5, -5), (-5, 3), (0, 3), (2, 3), (5, -1)] {
            var breaker = empty
            breaker.add(answers: answers, failures: failures, at: .seconds(1))
            #expect(breaker == empty, "\(answers), \(failures)")
        }
    }
}
