// A thread of its own for tests that compute for seconds. On a machine with two cores the shared
// pool has two threads: a test that keeps one would make others miss their deadlines.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

private final class Work {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
}

/// The result of `work`, done on a thread of its own that gives way to all others.
///
/// Failures must be recorded by the caller: a test is not known outside its task.
package func onOwnThread<Result: Sendable>(
    _ work: @escaping @Sendable () -> Result
) async -> Result {
    await withCheckedContinuation { continuation in
        let held = Unmanaged.passRetained(Work { continuation.resume(returning: work()) })
        #if canImport(Darwin)
        var thread: pthread_t?
        #else
        var thread = pthread_t()
        #endif
        let code = pthread_create(
            &thread, nil,
            { (raw: UnsafeMutableRawPointer?) in
                guard let raw else { return nil }
                #if canImport(Glibc)
                // On Linux this is the priority of the calling thread alone.
                _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
                #endif
                let held = Unmanaged<Work>.fromOpaque(raw).takeRetainedValue()
                _ = pthread_detach(pthread_self())
                held.body()
                return nil
            }, held.toOpaque())
        if code != 0 { held.takeRetainedValue().body() }
    }
}
