public import StrictJSON

extension Evidence {
    /// By suite: shares 0 to 1; `against` the differences from the version before (nil: null); `smallest_drop` what this suite can
    /// show at all.
    public func figures(against release: String?) -> JSON {
        .object(
            domains.sorted { $0.key < $1.key }.map { name, domain in
                let rows = Double(max(1, domain.first.rows))
                return .init(
                    name,
                    [
                        "rows": .integer(Int64(domain.first.rows)), "top1": share(Double(domain.right) / rows),
                        "top3": share(Double(domain.rightAmongThree) / rows), "ece": share(domain.bins.error),
                        "smallest_drop": share(domain.first.smallestDrop),
                        "against": release == nil ? .null : [
                            "release": release.map { .string($0) } ?? .null, "top1": share(-domain.first.drop), "top3": share(-domain.amongThree.drop),
                            "ece": share(domain.bins.error - domain.liveBins.error),
                        ],
                    ])
            })
    }

    public var latencyJSON: JSON {
        func ratio(_ summary: LatencyPairs.Summary) -> JSON { .real((summary.ratio * 1000).rounded() / 1000) }
        guard let summary = latencySummary ?? latency.summary else { return .null }
        return [
            "p50": milliseconds(LatencyPairs.percentile(50, of: latency.candidate)), "p99": milliseconds(summary.candidateP99),
            "ratio": ratio(summary), "whole_ratio": (wholeSummary ?? wholeLatency.summary).map(ratio) ?? .null,
        ]
    }

    /// Row by row, in digits: for who compares later.
    var marksJSON: JSON {
        .object(domains.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value.marks.map { "\($0)" }.joined())) })
    }

    public var traffic: JSON {
        func of(_ traffic: Traffic) -> JSON {
            [
                "answers": .integer(Int64(traffic.answers)), "failures": .integer(Int64(traffic.failures)),
                "clients": .integer(Int64(traffic.clients)), "disapproved": .integer(Int64(traffic.disapproved)),
            ]
        }
        return ["live": of(live), "candidate": of(candidate), "stage": of(stage)]
    }

    /// The numbers that decide.
    public var json: JSON {
        func counts(_ counts: PairedCounts) -> JSON {
            ["rows": .integer(Int64(counts.rows)), "lost": .integer(Int64(counts.lost)), "gained": .integer(Int64(counts.gained))]
        }
        return [
            "complete": .bool(isShadowComplete), "asked": .integer(Int64(failures.answers)),
            "failures": .integer(Int64(failures.failures)), "live_failures": .integer(Int64(liveFailures.failures)),
            "suites": .object(
                domains.sorted { $0.key < $1.key }.map {
                    .init(
                        $0.key,
                        [
                            "first": counts($0.value.first), "top3": counts($0.value.amongThree),
                            "overconfidence": share($0.value.overconfidence.mean), "smallest_drop": share($0.value.first.smallestDrop),
                        ])
                }),
            "recent": [
                "asked": .integer(Int64(recent.asked)), "different": .integer(Int64(recent.different)),
                "gone": .integer(Int64(recent.gone)),
            ],
            "latency_ms": latencyJSON, "traffic": traffic,
            "memory_left": memoryLeft.map { .integer(Int64($0)) } ?? .null,
        ]
    }

    private func share(_ value: Double) -> JSON {
        let rounded = (value * 10_000).rounded() / 10_000
        return .real(rounded == 0 ? 0 : rounded)
    }
    private func milliseconds(_ value: Double) -> JSON { .real((value * 1000).rounded() / 1000) }
}
