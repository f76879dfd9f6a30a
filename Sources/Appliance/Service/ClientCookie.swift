import HTTPTypes
import Hummingbird

/// What tells one browser from another behind the same address: sixteen random bytes, which mean nothing, are stored
/// nowhere here, and only decide which version answers while one is tried.
enum ClientCookie {
    private static let name = "tiankong_client"

    static func read(_ request: Request) -> String? {
        for field in request.headers[values: .cookie] {
            for pair in field.split(separator: ";") {
                let trimmed = pair.drop { $0 == " " }
                guard trimmed.hasPrefix(name + "=") else { continue }
                let value = trimmed.dropFirst(name.count + 1)
                if value.utf8.count == 32, value.allSatisfy(\.isHexDigit) { return String(value) }
            }
        }
        return nil
    }

    /// For a browser that has none yet.
    static func fresh() -> String {
        var random = SystemRandomNumberGenerator()
        let value = (0..<2).map { _ in
            let digits = String(random.next(), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
        return "\(name)=\(value); Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict"
    }
}
