import CYAML

/// A YAML document as far as a configuration needs it: scalars, lists and maps, each with the line it began on.
/// Anchors, aliases, tags and second documents are refused: they hide what a file says from who reads it.
struct YAMLNode {
    enum Value {
        /// `plain` is false where the scalar was quoted, so that `"null"` is a text.
        case scalar(String, plain: Bool)
        case list([YAMLNode])
        case map([Entry])
    }

    struct Entry {
        let key: String
        let line: Int
        let value: YAMLNode
    }

    let value: Value
    /// Counted from 1.
    let line: Int

    /// The first document; nil for a text with none (empty, or comments alone).
    static func parse(_ text: [UInt8], file: String) throws(ConfigurationError) -> YAMLNode? {
        var events = try EventReader(text, file: file)
        defer { events.close() }
        guard try events.next().kind == YAML_STREAM_START_EVENT else { return nil }
        guard try events.next().kind == YAML_DOCUMENT_START_EVENT else { return nil }
        let node = try events.node(try events.next(), depth: 0)
        _ = try events.next()  // the document's end
        let last = try events.next()
        guard last.kind == YAML_STREAM_END_EVENT else {
            throw .syntax(file: file, line: last.line, problem: "a second document")
        }
        return node
    }
}

/// libyaml's event parser; the one place that touches it.
private struct EventReader {
    struct Event {
        let kind: yaml_event_type_t
        let line: Int
        var text = ""
        var isPlain = true
        var isDecorated = false
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>
    private let file: String

    init(_ text: [UInt8], file: String) throws(ConfigurationError) {
        self.file = file
        parser = .allocate(capacity: 1)
        input = .allocate(capacity: max(text.count, 1))
        _ = input.update(from: text)
        guard yaml_parser_initialize(parser) == 1 else {
            throw .syntax(file: file, line: 1, problem: "no memory for the parser")
        }
        yaml_parser_set_input_string(parser, input.baseAddress, text.count)
    }

    func close() {
        yaml_parser_delete(parser)
        parser.deallocate()
        input.deallocate()
    }

    func next() throws(ConfigurationError) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else {
            let problem = parser.pointee.problem.map { String(cString: $0) } ?? "not YAML"
            throw .syntax(file: file, line: Int(parser.pointee.problem_mark.line) + 1, problem: problem)
        }
        defer { yaml_event_delete(&event) }
        var read = Event(kind: event.type, line: Int(event.start_mark.line) + 1)
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            read.text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            read.isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            read.isDecorated = scalar.anchor != nil || scalar.tag != nil
        case YAML_SEQUENCE_START_EVENT:
            read.isDecorated = event.data.sequence_start.anchor != nil || event.data.sequence_start.tag != nil
        case YAML_MAPPING_START_EVENT:
            read.isDecorated = event.data.mapping_start.anchor != nil || event.data.mapping_start.tag != nil
        case YAML_ALIAS_EVENT: read.isDecorated = true
        default: break
        }
        return read
    }

    mutating func node(_ event: Event, depth: Int) throws(ConfigurationError) -> YAMLNode {
        if event.isDecorated { throw .syntax(file: file, line: event.line, problem: "an anchor, alias or tag") }
        guard depth < 8 else { throw .syntax(file: file, line: event.line, problem: "more than 8 levels") }
        switch event.kind {
        case YAML_SCALAR_EVENT: return YAMLNode(value: .scalar(event.text, plain: event.isPlain), line: event.line)
        case YAML_SEQUENCE_START_EVENT:
            var items: [YAMLNode] = []
            while true {
                let next = try next()
                if next.kind == YAML_SEQUENCE_END_EVENT { return YAMLNode(value: .list(items), line: event.line) }
                items.append(try node(next, depth: depth + 1))
            }
        case YAML_MAPPING_START_EVENT: return YAMLNode(value: .map(try entries(depth: depth)), line: event.line)
        default: throw .syntax(file: file, line: event.line, problem: "not a value")
        }
    }

    private mutating func entries(depth: Int) throws(ConfigurationError) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        while true {
            let key = try next()
            if key.kind == YAML_MAPPING_END_EVENT { return entries }
            guard key.kind == YAML_SCALAR_EVENT else {
                throw .syntax(file: file, line: key.line, problem: "a key that is not a word")
            }
            if entries.contains(where: { $0.key == key.text }) {
                throw .duplicateKey(file: file, line: key.line, key: key.text)
            }
            let value = try node(try next(), depth: depth + 1)
            entries.append(YAMLNode.Entry(key: key.text, line: key.line, value: value))
        }
    }
}
