import CMallocCount
import Engine
import ModelFormat
import TestSupport
import Testing

@Suite("the pool computes on fixed threads", .serialized)
struct WorkerPoolTests {
    private func fillMask(_ pool: WorkerPool) throws -> FillMask {
        try FillMask(try ModelContents(huggingFace: Places.defaultModel), pool: pool, cacheBytes: 0)
    }

    @Test("beyond the queue's limit a question is refused at once, and those admitted are answered")
    func overload() async throws {
        let pool = try WorkerPool(threads: 1, queue: 2)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let text = "[MASK]" + String(repeating: "字", count: 250)
        let outcomes = await withTaskGroup(of: Result<Answer, EngineError>.self) { group in
            for _ in 0..<40 {
                group.addTask {
                    do throws(EngineError) { return .success(try await fillMask.answer(Question(text))) } catch { return .failure(error) }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let refused = outcomes.compactMap { outcome -> EngineError? in
            if case .failure(let error) = outcome { error } else { nil }
        }
        #expect(!refused.isEmpty && refused.count < 40)
        #expect(refused.allSatisfy { $0 == .overloaded(limit: 2) })
        _ = try await fillMask.answer(Question("画龙点[MASK]"))
    }

    @Test("a cancelled question ends, whether it waits or runs, and the next is answered")
    func cancellation() async throws {
        let pool = try WorkerPool(threads: 2, queue: 64)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let text = "[MASK]" + String(repeating: "字", count: 250)
        let tasks = (0..<32).map { _ in Task { try await fillMask.answer(Question(text)) } }
        for task in tasks { task.cancel() }
        for task in tasks { _ = await task.result }
        #expect(pool.waiting <= 32)
        _ = try await fillMask.answer(Question("画龙点[MASK]"))
    }

    @Test("a stopped pool refuses, and stopping twice is fine")
    func stop() async throws {
        let pool = try WorkerPool(threads: 2)
        let fillMask = try fillMask(pool)
        pool.stop()
        pool.stop()
        await #expect(throws: EngineError.stopped) { try await fillMask.answer(Question("画龙点[MASK]")) }
    }

    @Test("no threads and too many are refused")
    func threads() {
        #expect(throws: EngineError.threads(0, limit: 64)) { try WorkerPool(threads: 0) }
        #expect(throws: EngineError.threads(65, limit: 64)) { try WorkerPool(threads: 65) }
    }

    @Test("in the steady state a pass allocates no more than the list of who asks; waking the asker costs libdispatch two blocks")
    func allocations() async throws {
        let pool = try WorkerPool(threads: 2)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let texts = ["画龙点[MASK]", "[MASK][MASK][MASK]", "床前明月光，疑是地[MASK]霜。", "[MASK]" + String(repeating: "字", count: 200)]
        for text in texts + texts { _ = try await fillMask.answer(Question(text)) }
        let before = tk_malloc_count()
        for _ in 0..<20 { for text in texts { _ = try await fillMask.answer(Question(text)) } }
        #expect(tk_malloc_count() - before <= 3 * 20 * texts.count)
    }
}
