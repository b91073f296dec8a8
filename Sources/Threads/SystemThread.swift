// A thread of the system for calls that block. The cooperative pool has as few threads as the machine has
// cores, and must never wait.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The system gives no thread: too many run already.
package struct ThreadRefusal: Error {
    /// errno.
    package let number: Int32
}

/// A thread that takes no signals: they belong to the program. Either ``finish()`` or ``detach()`` is to be
/// called once.
package final class SystemThread: Sendable {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    #if canImport(Darwin)
    private nonisolated(unsafe) let thread: pthread_t
    #else
    private let thread: pthread_t
    #endif

    package init(
        stackBytes: Int, _ run: @escaping @Sendable () -> Void
    ) throws(ThreadRefusal) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

        let box = Unmanaged.passRetained(Body(run))
        #if canImport(Darwin)
        var made: pthread_t?
        let entry: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = { raw in
            Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        }
        #else
        var made = pthread_t()
        let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
            if let raw { Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run() }
            return nil
        }
        #endif
        let code = pthread_create(&made, &attributes, entry, box.toOpaque())
        var started: pthread_t?
        if code == 0 { started = made }
        guard let started else {
            box.release()
            throw ThreadRefusal(number: code)
        }
        thread = started
    }

    /// Waits until it has ended, or, on the thread itself, lets it end alone.
    package func finish() {
        if pthread_equal(thread, pthread_self()) != 0 {
            detach()
        } else {
            pthread_join(thread, nil)
        }
    }

    /// Nobody waits for it.
    package func detach() { pthread_detach(thread) }
}
