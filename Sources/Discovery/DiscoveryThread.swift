// A thread of our own for calls that may block for 25 s. The cooperative pool has as few threads as
// the machine has cores and must never wait for a daemon.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

enum DiscoveryThread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new detached thread that takes no signals: they belong to the program.
    ///
    /// - Throws: `DiscoveryError.Code.resources` when the system refuses the thread.
    static func start(_ body: @escaping @Sendable () -> Void) throws(DiscoveryError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, DiscoveryLimits.threadStackBytes)
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

        let box = Unmanaged.passRetained(Body(body))
        #if canImport(Darwin)
        var thread: pthread_t?
        let entry: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = { raw in
            Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        }
        #else
        var thread = pthread_t()
        let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
            if let raw { Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run() }
            return nil
        }
        #endif
        let code = pthread_create(&thread, &attributes, entry, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw DiscoveryError(
                code: .resources,
                message: "the system refused a thread for discovery (errno \(code)): "
                    + "raise the limit of processes for this user")
        }
    }
}
