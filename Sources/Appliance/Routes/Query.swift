import Explain
import HTTPTypes
import Hummingbird

/// What stands behind the `?`.
extension Request {
    func number(_ name: String, in range: ClosedRange<Int>, fallback: Int) throws(Problem) -> Int {
        guard let text = uri.queryParameters[name[...]] else { return fallback }
        return try Self.number(String(text), name, in: range)
    }

    static func number(_ text: String, _ name: String, in range: ClosedRange<Int>) throws(Problem) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw Problem(
                .outOfRange, field: name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)", found: text.plain)
        }
        return number
    }
}
