/// What a name in the drop folder means to us.
package enum DropName: Equatable {
    /// One that a patch may have.
    case patch
    /// Somebody's temporary name or a receipt: never opened, never spoken of.
    case unspoken
    /// Left alone, with one line in the history; the reason why.
    case strange(expected: String)

    static let suffix = ".tkp.zst"
    private static let longest = 200

    package init(_ name: String) {
        if name.hasPrefix(".") || [".part", ".partial", ".tmp", "~", Receipt.suffix].contains(where: name.hasSuffix) {
            self = .unspoken
        } else if !name.hasSuffix(Self.suffix) {
            self = .strange(expected: "a name that ends in \(Self.suffix)")
        } else if name.utf8.count > Self.longest {
            self = .strange(expected: "a name of at most \(Self.longest) bytes")
        } else if !name.unicodeScalars.allSatisfy(Self.isAllowed) {
            self = .strange(expected: "letters, digits, . _ + - and 汉字 alone")
        } else {
            self = .patch
        }
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9", ".", "_", "+", "-": true
        // CJK Unified Ideographs, their extension A, and those of the supplementary planes.
        case "\u{4E00}"..."\u{9FFF}", "\u{3400}"..."\u{4DBF}", "\u{20000}"..."\u{323AF}": true
        default: false
        }
    }
}
