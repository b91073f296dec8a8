// Tests of whole nodes start many processes; all tests at once would starve each other and everything
// beside them.

import Testing

/// Lets a few tests of processes run at the same time, whatever their suites.
struct FewAtOnce: TestTrait, SuiteTrait, TestScoping {
    var isRecursive: Bool { true }

    private static let gate = Gate(places: 3)

    func scopeProvider(for test: Test, testCase: Test.Case?) -> FewAtOnce? {
        testCase == nil ? nil : self
    }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing body: @Sendable () async throws -> Void
    ) async throws {
        await Self.gate.enter()
        do { try await body() } catch {
            await Self.gate.leave()
            throw error
        }
        await Self.gate.leave()
    }
}

extension Trait where Self == FewAtOnce {
    static var fewAtOnce: FewAtOnce { FewAtOnce() }
}

/// As many at once as there are places; the others wait in order.
private actor Gate {
    private var places: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(places: Int) { self.places = places }

    func enter() async {
        if places > 0 {
            places -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    func leave() {
        if waiting.isEmpty {
            places += 1
        } else {
            waiting.removeFirst().resume()
        }
    }
}
