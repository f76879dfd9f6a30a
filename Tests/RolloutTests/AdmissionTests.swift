import ModelFormat
import Rollout
import Testing

@Suite("the chain rules")
struct AdmissionTests {
    private static func fingerprint(_ digit: Character) -> Fingerprint { Fingerprint(String(repeating: digit, count: 64))! }
    private let line = fingerprint("1"), otherLine = fingerprint("2")
    private let live = fingerprint("a"), older = fingerprint("b"), stranger = fingerprint("c"), target = fingerprint("d")
    private let foreign = fingerprint("e")

    /// Floor 10; `older` is kept on the same line, `foreign` on another one.
    private var admission: Admission {
        Admission(live: live, kept: [live: line, older: line, foreign: otherLine], floors: [line: 10], jump: 1000)
    }

    private func patch(from base: Fingerprint, line: Fingerprint? = nil, epoch: Int = 11) -> Claim {
        Claim(kind: .patch(base: base, target: target, release: "r"), line: line ?? self.line, epoch: epoch)
    }

    private func order(to version: Fingerprint, line: Fingerprint? = nil, epoch: Int = 11) -> Claim {
        Claim(kind: .order(to: version, reason: ""), line: line ?? self.line, epoch: epoch)
    }

    @Test("a patch from what is live, one above the floor, is admitted")
    func good() { #expect(admission.decide(patch(from: live)) == .admit) }

    @Test("an epoch at the floor or below is a replay, whatever else is wrong", arguments: [-1, 0, 1, 9, 10])
    func replay(epoch: Int) {
        for claim in [
            patch(from: live, epoch: epoch), patch(from: stranger, epoch: epoch), patch(from: older, epoch: epoch),
            patch(from: foreign, epoch: epoch), order(to: stranger, epoch: epoch), order(to: older, epoch: epoch),
        ] { #expect(admission.decide(claim) == .refuse(.replay(epoch: epoch, floor: 10))) }
    }

    @Test("a base that is not kept is waited for, even with an epoch beyond the jump and on a line nobody knows")
    func unknownBase() {
        #expect(admission.decide(patch(from: stranger)) == .wait(missing: stranger))
        #expect(admission.decide(patch(from: stranger, epoch: 5000)) == .wait(missing: stranger))
        #expect(admission.decide(patch(from: stranger, line: stranger)) == .wait(missing: stranger))
    }

    @Test("the line must be the base's own: said before fork and jump")
    func foreignLine() {
        #expect(admission.decide(patch(from: live, line: otherLine)) == .refuse(.foreignLine(expected: line, found: otherLine)))
        #expect(admission.decide(patch(from: foreign)) == .refuse(.foreignLine(expected: otherLine, found: line)))
        #expect(admission.decide(patch(from: live, line: otherLine, epoch: 1_000_000)) == .refuse(.foreignLine(expected: line, found: otherLine)))
        #expect(admission.decide(order(to: foreign)) == .refuse(.foreignLine(expected: otherLine, found: line)))
    }

    @Test("a base that is kept and not live is a fork: said before jump")
    func fork() {
        #expect(admission.decide(patch(from: older)) == .refuse(.fork(base: older, live: live)))
        #expect(admission.decide(patch(from: older, epoch: 5000)) == .refuse(.fork(base: older, live: live)))
    }

    @Test("exactly the jump above the floor is admitted, one more is not")
    func jump() {
        #expect(admission.decide(patch(from: live, epoch: 1010)) == .admit)
        #expect(admission.decide(patch(from: live, epoch: 1011)) == .refuse(.epochJump(epoch: 1011, floor: 10, jump: 1000)))
        #expect(admission.decide(order(to: older, epoch: 1010)) == .admit)
        #expect(admission.decide(order(to: older, epoch: 1011)) == .refuse(.epochJump(epoch: 1011, floor: 10, jump: 1000)))
        #expect(admission.decide(patch(from: live, epoch: Int(Int32.max))) == .refuse(.epochJump(epoch: Int(Int32.max), floor: 10, jump: 1000)))
    }

    @Test("an order may lead to any kept version of its line, the live one among them, and to no other")
    func orders() {
        #expect(admission.decide(order(to: older)) == .admit)
        #expect(admission.decide(order(to: live)) == .admit)
        #expect(admission.decide(order(to: stranger)) == .refuse(.notKept(stranger)))
        #expect(admission.decide(order(to: stranger, epoch: 5000)) == .refuse(.notKept(stranger)))
    }

    @Test("a line without a floor begins at 0: epoch 0 is a replay, 1 is not")
    func noFloor() {
        let admission = Admission(live: foreign, kept: [foreign: otherLine], floors: [:], jump: 1000)
        #expect(admission.decide(patch(from: foreign, line: otherLine, epoch: 0)) == .refuse(.replay(epoch: 0, floor: 0)))
        #expect(admission.decide(patch(from: foreign, line: otherLine, epoch: 1)) == .admit)
        #expect(admission.decide(patch(from: foreign, line: otherLine, epoch: 1000)) == .admit)
        #expect(admission.decide(patch(from: foreign, line: otherLine, epoch: 1001)) == .refuse(.epochJump(epoch: 1001, floor: 0, jump: 1000)))
    }

    @Test("each line has a floor of its own")
    func floors() {
        let admission = Admission(live: live, kept: [live: line, foreign: otherLine], floors: [line: 10, otherLine: 99], jump: 1000)
        #expect(admission.decide(patch(from: live, epoch: 11)) == .admit)
        #expect(admission.decide(order(to: foreign, line: otherLine, epoch: 99)) == .refuse(.replay(epoch: 99, floor: 99)))
        #expect(admission.decide(order(to: foreign, line: otherLine, epoch: 100)) == .admit)
    }
}
