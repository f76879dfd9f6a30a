/// A text in both languages of the product. Which one is shown is decided where it is shown, never where it is made.
public struct Bilingual: Sendable, Hashable {
    public let en: String
    public let zh: String

    public init(_ en: String, zh: String) {
        self.en = en
        self.zh = zh
    }

    public func text(in language: Language) -> String {
        switch language {
        case .english: en
        case .chinese: zh
        }
    }
}

public enum Language: Sendable, Hashable {
    case english, chinese

    /// POSIX order: `LC_ALL` over `LC_MESSAGES` over `LANG`; `zh_*` is Chinese, everything else English.
    public init(environment: (String) -> String?) {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].lazy.compactMap(environment).first { !$0.isEmpty }
        self = locale?.hasPrefix("zh") == true ? .chinese : .english
    }
}

/// What a machine can read of an error: the field (a JSON path, a tensor, a configuration key), what was expected
/// there and what was found. Values are language-free.
public struct Detail: Sendable, Hashable {
    public let field: String
    public let expected: String
    public let found: String

    public init(field: String, expected: String, found: String) {
        self.field = field
        self.expected = expected
        self.found = found
    }
}

/// An error that can be read by the person who has to act on it.
///
/// Each target has one closed enum that conforms. `message` names the object, what was expected and what was found;
/// `hint`, kept apart, says what to do about it.
public protocol Explained: Error, CustomStringConvertible {
    var message: Bilingual { get }
    var detail: Detail? { get }
    var hint: Bilingual? { get }
}

extension Explained {
    public var detail: Detail? { nil }
    public var hint: Bilingual? { nil }

    public var description: String { text(in: .english) }

    /// One line, with the hint in a second one where there is one.
    public func text(in language: Language) -> String {
        let message = message.text(in: language)
        guard let hint = hint?.text(in: language) else { return message }
        return message + (language == .chinese ? "\n  提示：" : "\n  hint: ") + hint
    }
}

extension String {
    /// On one line, and nothing in it that a terminal or a reader's eye would obey: control characters (C0, C1), line
    /// and paragraph separators and the marks that turn the direction of writing are shown by their numbers.
    public var plain: String {
        var text = ""
        for scalar in unicodeScalars {
            switch scalar.value {
            case 0...0x1F, 0x7F...0x9F, 0x2028...0x202E, 0x200E...0x200F, 0x2066...0x2069, 0x61C:
                text += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// Whether it can be a name: something to see, and nothing hidden.
    public var isName: Bool { plain == self && contains { !$0.isWhitespace } }
}
