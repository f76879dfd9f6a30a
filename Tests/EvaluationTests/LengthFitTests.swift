import Evaluation
import Glibc
import Testing

@Suite("length weights")
struct LengthFitTests {
    @Test("weights that lengths were drawn with are found again")
    func recovered() {
        var state: UInt64 = 7
        func random() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 11) / Double(1 << 53)
        }
        let slope = 1.8, offsets = [0, 1.2, -0.4, -1]
        let observations = (0..<6_000).map { _ in
            let evidence = (0..<4).map { _ in -3 * random() }
            let weights = zip(evidence, offsets).map { exp(slope * $0 + $1) }
            var rest = random() * weights.reduce(0, +)
            let length = weights.firstIndex { rest -= $0; return rest < 0 } ?? 3
            return LengthFit.Observation(evidence: evidence, length: length + 1)
        }
        let fit = LengthFit(observations)
        #expect(abs(fit.slope - slope) < 0.15)
        #expect(zip(fit.offsets, offsets).allSatisfy { abs($0 - $1) < 0.15 }, "\(fit.offsets)")
        #expect(fit.after > fit.before)
    }

    @Test("evidence that speaks against the right length counts for nothing")
    func contrary() {
        let fit = LengthFit((0..<300).map { .init(evidence: $0 % 3 == 0 ? [-3, -1, -1, -1] : [-1, -3, -1, -1], length: $0 % 3 == 0 ? 1 : 2) })
        #expect(fit.slope == 0 && abs(fit.offsets[1] - log(2)) < 0.05)
    }

    @Test("a length that never occurs gets a finite weight")
    func never() {
        let fit = LengthFit((0..<200).map { .init(evidence: [-1, -1, -1, -1], length: $0 % 2 + 1) })
        #expect(fit.offsets.allSatisfy(\.isFinite) && fit.offsets[3] < -2 && fit.slope.isFinite)
    }
}
