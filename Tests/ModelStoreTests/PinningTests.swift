import Disk
import ModelStore
import TestSupport
import Testing

@Suite("a pin in the store")
struct PinningTests {
    private let folder: TemporaryFolder
    private var state: String { folder.path }
    private var file: String { state + "/store/pin" }

    init() throws { folder = try TemporaryFolder() }

    private let pin = ModelStore.Pin(by: "wang", reason: "the fair, until \"Friday\"\n春", since: "2026-11-25T00:00:00Z")

    @Test("a store without one has none, and a folder without a store neither")
    func none() throws {
        #expect(try ModelStore(reading: state).pin() == nil)
        #expect(try ModelStore(opening: state).pin() == nil)
    }

    @Test("what is kept comes back, with a reason and without, over a restart; the later one stands")
    func kept() throws {
        for pin in [pin, .init(by: "李", reason: nil, since: "2026-11-26T00:00:00Z"), .init(by: "", reason: "", since: "")] {
            do { try ModelStore(opening: state).keepPin(pin) }
            #expect(try ModelStore(reading: state).pin() == pin)
            #expect(try ModelStore(opening: state).pin() == pin)
        }
    }

    @Test("removed, it is gone over a restart too; removing what is not there is no fault")
    func removed() throws {
        do {
            let store = try ModelStore(opening: state)
            try store.keepPin(pin)
            try store.removePin()
            #expect(try store.pin() == nil)
            try store.removePin()
        }
        #expect(try ModelStore(opening: state).pin() == nil)
    }

    @Test("a file that is none is told by name, and does not count as none: whoever wrote it wanted something", arguments: [
        "", "{", "[]", "{}", #"{"by":"wang"}"#, #"{"since":"2026-11-25T00:00:00Z"}"#, #"{"by":5,"since":"x"}"#, "wang",
    ])
    func damaged(text: String) throws {
        let store = try ModelStore(opening: state)
        try Disk().writeDurably(Array(text.utf8), to: file)
        #expect { try store.pin() } throws: { error in
            guard case StoreError.damaged(file, _, _) = error else { return false }
            return true
        }
        // And an operator gets on from there.
        try store.keepPin(pin)
        #expect(try store.pin() == pin)
        try Disk().writeDurably(Array(text.utf8), to: file)
        try store.removePin()
        #expect(try store.pin() == nil)
    }

    @Test("one that is too large is not read")
    func large() throws {
        let store = try ModelStore(opening: state)
        try Disk().writeDurably([UInt8](repeating: 0x20, count: 1 << 20), to: file)
        #expect(throws: StoreError.self) { try store.pin() }
    }

    @Test("a write that fails at any step leaves the pin from before or the new one, whole; a removal leaves it or none")
    func faults() throws {
        let other = ModelStore.Pin(by: "li", reason: nil, since: "2026-11-26T00:00:00Z")
        func life(_ state: String, _ plan: FaultPlan, _ isRemoval: Bool) throws -> Bool {
            do { try ModelStore(opening: state).keepPin(pin) }
            let store = try ModelStore(opening: state)
            let failing = ModelStore(reading: state, disk: Disk(faults: plan))
            defer { withExtendedLifetime(store) {} }
            do {
                if isRemoval { try failing.removePin() } else { try failing.keepPin(other) }
                return true
            } catch { return false }
        }
        for isRemoval in [false, true] {
            let counting = FaultPlan(failingAt: nil)
            #expect(try life("\(state)/counting \(isRemoval)", counting, isRemoval))
            #expect(counting.steps > (isRemoval ? 0 : 2))
            for step in 0..<counting.steps {
                for fault in [FaultPlan.Fault.once(28), .lasting(5)] {
                    let path = "\(state)/\(isRemoval) \(step) \(fault)"
                    let isDone = try life(path, FaultPlan(failingAt: step, fault), isRemoval)
                    let found = try ModelStore(opening: path).pin()
                    #expect(found == pin || found == (isRemoval ? nil : other), "step \(step), \(fault)")
                    if isDone { #expect(found == (isRemoval ? nil : other), "step \(step), \(fault)") }
                }
            }
        }
    }
}
