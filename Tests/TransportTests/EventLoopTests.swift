// The loop itself: timers, posted work, signals, watches, and that nothing is left at the end.

import TestKit
import Testing

@testable import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct EventLoopTests {
    @Test("timers fire by time, then by start")
    func timerOrder() throws {
        try withLoop { loop in
            let order = Box<[Int]>([])
            let start = loop.now
            for (index, milliseconds) in [30, 10, 20, 10, 0].enumerated() {
                loop.schedule(after: UInt64(milliseconds)) {
                    #expect(loop.now >= start + UInt64(milliseconds))
                    order.value.append(index)
                    guard order.value.count == 5 else { return }
                    #expect(order.value == [4, 1, 3, 2, 0])
                    loop.stop()
                }
            }
        }
    }

    @Test("a repeating timer runs until it is cancelled, a cancelled one never")
    func cancel() throws {
        try withLoop { loop in
            let count = Box(0)
            let never = loop.schedule(after: 1) { Issue.record("a cancelled timer fired") }
            never.cancel()
            never.cancel()
            let ticker = Box<Timer?>(nil)
            ticker.value = loop.schedule(after: 1, repeating: 1) {
                count.value += 1
                guard count.value == 5 else { return }
                #expect(ticker.value?.isActive == true)
                ticker.value?.cancel()
                ticker.value?.cancel()
                #expect(ticker.value?.isActive == false)
                loop.schedule(after: 20) {
                    #expect(count.value == 5)
                    loop.stop()
                }
            }
        }
    }

    @Test("the time counts from the call, though the turn began long before")
    func lateStart() throws {
        try withLoop { loop in
            loop.schedule(after: 0) {
                usleep(30_000)
                let start = loop.now
                loop.schedule(after: 20) {
                    #expect(loop.now >= start + 20)
                    loop.stop()
                }
            }
        }
    }

    @Test("work posted by four threads all runs, in the order of each thread")
    func post() throws {
        let each = 5_000
        let threads = Box<[pthread_t]>([])
        try withLoop { loop in
            let next = Box([0, 0, 0, 0])
            let seen = LoopBound(next, on: loop)
            let mailbox = loop.mailbox
            for thread in 0..<4 {
                threads.value.append(
                    onThread {
                        for index in 0..<each {
                            let posted = mailbox.post { loop in
                                let next = seen.value
                                #expect(next.value[thread] == index)
                                next.value[thread] += 1
                                if next.value == [each, each, each, each] { loop.stop() }
                            }
                            #expect(posted)
                        }
                    })
            }
            #expect(mailbox.isLoopThread)
        }
        for thread in threads.value { pthread_join(thread, nil) }
    }

    @Test("a full mailbox refuses, a closed one too")
    func mailboxLimit() throws {
        let loop = try EventLoop()
        let ran = LoopBound(Box(0), on: loop)
        for _ in 0..<TransportLimits.postedWorkCountMax {
            guard loop.mailbox.post({ _ in ran.value.value += 1 }) else {
                Issue.record("refused too early")
                break
            }
        }
        #expect(!loop.mailbox.post { _ in })
        #expect(loop.close())
        // What was accepted runs, at the latest in close().
        #expect(ran.value.value == TransportLimits.postedWorkCountMax)
        #expect(!loop.mailbox.post { _ in })
        #expect(loop.close())
    }

    @Test("stop before run makes run return; a loop can run again")
    func stopFirst() throws {
        try withLoop { loop in
            loop.stop()
            loop.run()
            let ran = Box(false)
            loop.schedule(after: 1) {
                ran.value = true
                loop.stop()
            }
            loop.run()
            #expect(ran.value)
            #expect(loop.mailbox.post { $0.stop() })
        }
    }

    @Test("deferred work runs after the callback, in order")
    func soon() throws {
        try withLoop { loop in
            let order = Box<[Int]>([])
            loop.schedule(after: 0) {
                loop.soon { order.value.append(2) }
                loop.soon {
                    order.value.append(3)
                    loop.soon {
                        #expect(order.value == [1, 2, 3])
                        loop.stop()
                    }
                }
                order.value.append(1)
            }
        }
    }

    @Test("a signal of this process arrives")
    func signal() throws {
        try withLoop { loop in
            let count = Box(0)
            let watch = Box<SignalWatch?>(nil)
            watch.value = try loop.onSignal(SIGUSR1) {
                count.value += 1
                if count.value < 3 {
                    kill(getpid(), SIGUSR1)
                } else {
                    watch.value?.cancel()
                    watch.value?.cancel()
                    loop.stop()
                }
            }
            kill(getpid(), SIGUSR1)
        }
        #expect(throws: TransportError.self) {
            let loop = try EventLoop()
            defer { loop.close() }
            _ = try loop.onSignal(SIGKILL) {}
        }
    }

    @Test("a descriptor of another library is watched")
    func readable() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        try withLoop { loop in
            let watch = Box<ReadableWatch?>(nil)
            let descriptor = ends[0]
            watch.value = try loop.onReadable(descriptor) {
                var byte: UInt8 = 0
                #expect(read(descriptor, &byte, 1) == 1)
                #expect(byte == 42)
                watch.value?.cancel()
                loop.stop()
            }
            var byte: UInt8 = 42
            #expect(write(ends[1], &byte, 1) == 1)
        }
        close(ends[0])
        close(ends[1])
    }

    @Test("close ends everything that is open, and tells streams and connects")
    func closeAll() throws {
        let folder = TemporaryDirectory()
        let loop = try EventLoop()
        let reasons = Box<[Stream.CloseReason]>([])
        let failures = Box<[TransportError.Code]>([])
        try loop.pair { client, server in
            for stream in [client, server] {
                stream.onClose = { reason in
                    reasons.value.append(reason)
                    // Nothing new starts on a closing loop.
                    #expect(!loop.schedule(after: 0) { Issue.record("it fired") }.isActive)
                    #expect(throws: TransportError(.closed, "")) {
                        try loop.listen(host: "127.0.0.1", port: 0) { _ in }
                    }
                    loop.connect(host: "127.0.0.1", port: 1, timeout: 1) { result in
                        if case .failure(let error) = result { failures.value.append(error.code) }
                    }
                }
                stream.resumeReading()
            }
            loop.stop()
        }
        loop.schedule(after: 60_000) { Issue.record("it fired") }
        _ = try loop.watch(folder: folder.path) { _ in }
        _ = try loop.onSignal(SIGUSR2) {}
        _ = try loop.listen(unixPath: folder.file("s")) { _ in }
        loop.run()
        loop.connect(host: "127.0.0.1", port: 1, timeout: 60_000) { result in
            if case .failure(let error) = result { failures.value.append(error.code) }
        }
        #expect(loop.close())
        #expect(loop.handleCount == 0)
        #expect(reasons.value == [.closedHere, .closedHere])
        #expect(failures.value == [.closed, .closed, .closed])
        #expect(loop.now > 0)
        #expect(throws: TransportError(.closed, "")) {
            try loop.watch(folder: folder.path) { _ in }
        }
    }

    @Test("a closed loop and what hung on it are freed")
    func noLeak() throws {
        weak var loop: EventLoop?
        weak var timer: Timer?
        do {
            let strong = try EventLoop()
            loop = strong
            timer = strong.schedule(after: 1_000_000) { _ = strong.now }
            #expect(strong.close())
        }
        #expect(loop == nil)
        #expect(timer == nil)
    }
}
