/// Takes out what could tell who somebody is: numbers of telephones, identity cards, bank cards and passports, addresses
/// of e-mail and web, number plates. The text keeps its shape, for it goes on being a question: digits become 0, letters
/// become x.
///
/// Names of people and streets are not recognised: that takes a model of its own, and one that is wrong now and then
/// must not be trusted with it. So what is scrubbed is still nobody else's business.
public enum Scrubber {
    public enum Kind: String, Sendable, CaseIterable { case number, mail, address = "web-address", plate }

    public struct Scrubbed: Sendable, Equatable {
        public let text: String
        /// What was taken out, in order.
        public let found: [Kind]
    }

    /// Years, prices and quantities have fewer.
    static let fewestDigits = 5

    public static func scrub(_ text: String) -> Scrubbed {
        // The everyday question has nothing of all this: one look at its bytes says so.
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "@") || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ".") || isDigit($0) || $0 == 0xEF }) else {
            return Scrubbed(text: text, found: [])
        }
        var scalars = Array(text.unicodeScalars)
        var found: [(at: Int, kind: Kind)] = []
        var at = 0
        while at < scalars.count {
            if let end = run(scalars, at), let kind = kind(scalars[at..<end], after: at > 0 ? scalars[at - 1] : nil) {
                found.append((at, kind))
                for place in at..<end { scalars[place] = masked(scalars[place]) }
                at = end
            } else {
                at = run(scalars, at) ?? at + 1
            }
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return Scrubbed(text: String(view), found: found.map(\.kind))
    }

    // MARK: - Runs

    /// The end of what is written without a break from here: letters, digits and the signs that join them. `[MASK]` has
    /// brackets around it, which are none.
    private static func run(_ scalars: [Unicode.Scalar], _ start: Int) -> Int? {
        guard isWordy(scalars[start]) else { return nil }
        var end = start + 1
        while end < scalars.count {
            if isWordy(scalars[end]) { end += 1; continue }
            // A sign or a blank between two of them, as in 138 1234 5678 and a.b@c.cn.
            let joins = joiners.contains(scalars[end])
            var next = end + 1
            while joins, next < scalars.count, next < end + 4, joiners.contains(scalars[next]) { next += 1 }
            guard joins, next < scalars.count, isWordy(scalars[next]) else { break }
            // Blanks and brackets join digits alone: words of a sentence are parted by them.
            if digitJoiners.contains(scalars[end]), !(isDigit(scalars[end - 1]) && isDigit(scalars[next])) { break }
            end = next + 1
        }
        return end
    }

    private static func kind(_ run: ArraySlice<Unicode.Scalar>, after before: Unicode.Scalar?) -> Kind? {
        let text = String(String.UnicodeScalarView(run))
        if text.contains("@") || text.unicodeScalars.contains("\u{FF20}") { return .mail }
        if text.contains("://") || text.lowercased().hasPrefix("www.") { return .address }
        let digits = run.count(where: isDigit)
        guard digits > 0 else { return nil }
        if digits >= fewestDigits { return .number }
        // 京A12345, 粤B·F0236: a province, a letter, and five or six letters and digits.
        let letters = run.count { !isDigit($0) && isWordy($0) }
        let isPlate = before.map { provinces.contains($0) } == true && (6...7).contains(digits + letters)
        return isPlate && run.first.map { !isDigit($0) } == true ? .plate : nil
    }

    private static func masked(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        isDigit(scalar) ? "0" : isWordy(scalar) ? "x" : scalar
    }

    private static let joiners = Set("@.-_/:+?=&%# ()·–—（）\u{3000}\u{FF0D}\u{FF20}\u{FF0E}".unicodeScalars)
    private static let digitJoiners = Set(" ()–—（）\u{3000}".unicodeScalars)
    private static let provinces = Set("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使".unicodeScalars)

    private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool {
        ("0"..."9").contains(scalar) || (0xFF10...0xFF19).contains(scalar.value)
    }
    private static func isWordy(_ scalar: Unicode.Scalar) -> Bool {
        isDigit(scalar) || ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
            || (0xFF21...0xFF3A).contains(scalar.value) || (0xFF41...0xFF5A).contains(scalar.value)
    }
}
