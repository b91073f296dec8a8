// What the loop watches beside sockets: signals, folders, and descriptors of other libraries.

internal import CUV

/// A watch of one signal of the process.
package final class SignalWatch: HandleOwner {
    private var handle: Handle?
    private var action: (() -> Void)?

    fileprivate init(on loop: EventLoop, signal: Int32, _ action: @escaping () -> Void) throws {
        let task = "cannot watch signal \(signal)"
        let handle = try Handle(UV_SIGNAL, on: loop, task) { pointer in
            uv_signal_init(loop.raw, pointer.assumingMemoryBound(to: uv_signal_t.self))
        }
        let status = uv_signal_start(
            handle.pointer(to: uv_signal_t.self),
            { pointer, _ in Handle.owner(of: pointer, as: SignalWatch.self)?.action?() }, signal)
        guard status == 0 else {
            handle.close()
            throw TransportError(uv: status, task)
        }
        self.handle = handle
        self.action = action
        handle.owner = self
    }

    /// Gives the signal back to the system; idempotent.
    package func cancel() {
        action = nil
        handle?.close()
        handle = nil
    }

    func loopCloses() { cancel() }
}

/// A watch of the files directly in one folder.
package final class FolderWatch: HandleOwner {
    private let loop: EventLoop
    private var handle: Handle?
    private var action: ((String) -> Void)?
    private var names: [String] = []
    private var seen: Set<String> = []

    fileprivate init(on loop: EventLoop, path: String, _ action: @escaping (String) -> Void) throws
    {
        self.loop = loop
        let task = "cannot watch the folder \(path)"
        let handle = try Handle(UV_FS_EVENT, on: loop, task) { pointer in
            uv_fs_event_init(loop.raw, pointer.assumingMemoryBound(to: uv_fs_event_t.self))
        }
        let status = uv_fs_event_start(
            handle.pointer(to: uv_fs_event_t.self),
            { pointer, name, _, status in
                guard status >= 0, let name else { return }
                Handle.owner(of: pointer, as: FolderWatch.self)?.changed(String(cString: name))
            }, path, 0)
        guard status == 0 else {
            handle.close()
            throw TransportError(uv: status, task, remedy: Self.remedy(status))
        }
        self.handle = handle
        self.action = action
        handle.owner = self
    }

    private static func remedy(_ status: Int32) -> String? {
        switch uv_errno_t(rawValue: status) {
        case UV_EMFILE: "raise fs.inotify.max_user_instances or the limit of open files"
        case UV_ENOSPC: "raise fs.inotify.max_user_watches"
        case UV_ENOENT, UV_ENOTDIR: "check that the folder exists"
        case UV_EACCES: "make the folder readable for this user"
        default: nil
        }
    }

    /// A burst of events in one turn of the loop is reported once per name.
    private func changed(_ name: String) {
        guard seen.insert(name).inserted else { return }
        names.append(name)
        if names.count == 1 { loop.soon { [weak self] in self?.report() } }
    }

    private func report() {
        let batch = names
        names = []
        seen = []
        for name in batch { action?(name) }
    }

    /// Ends the watch; idempotent.
    package func cancel() {
        action = nil
        handle?.close()
        handle = nil
    }

    func loopCloses() { cancel() }
}

/// A watch of a descriptor that another library owns, such as the one of a DNS-SD connection.
package final class ReadableWatch: HandleOwner {
    private var handle: Handle?
    private var action: (() -> Void)?

    fileprivate init(on loop: EventLoop, descriptor: Int32, _ action: @escaping () -> Void) throws {
        let task = "cannot watch descriptor \(descriptor)"
        let handle = try Handle(UV_POLL, on: loop, task) { pointer in
            uv_poll_init(loop.raw, pointer.assumingMemoryBound(to: uv_poll_t.self), descriptor)
        }
        // Errors and hang-ups arrive as readable too: the reader finds out which it is.
        let status = uv_poll_start(
            handle.pointer(to: uv_poll_t.self), Int32(UV_READABLE.rawValue)
        ) { pointer, _, _ in Handle.owner(of: pointer, as: ReadableWatch.self)?.action?() }
        guard status == 0 else {
            handle.close()
            throw TransportError(uv: status, task)
        }
        self.handle = handle
        self.action = action
        handle.owner = self
    }

    /// Ends the watch; idempotent. After it the owner may close the descriptor.
    package func cancel() {
        action = nil
        handle?.close()
        handle = nil
    }

    func loopCloses() { cancel() }
}

extension EventLoop {
    /// Runs `action` for each delivery of `signal`, instead of the signal's default effect.
    ///
    /// - Throws: ``TransportError`` for a signal that cannot be caught.
    package func onSignal(_ signal: Int32, _ action: @escaping () -> Void) throws -> SignalWatch {
        try SignalWatch(on: self, signal: signal, action)
    }

    /// Reports the names of files in a folder that were written, made, renamed or removed.
    ///
    /// Files in subfolders are not reported, nor are writes through a memory map. A burst is one
    /// report per name. The report is a hint: the kernel drops events when its queue is full, and
    /// network file systems send none, so the owner also looks at a timer. When the folder itself
    /// is removed, its own name is reported and the watch stays silent.
    ///
    /// - Throws: ``TransportError`` when the folder is missing or the system gives no more watches.
    package func watch(folder path: String, _ action: @escaping (String) -> Void) throws
        -> FolderWatch
    {
        try FolderWatch(on: self, path: path, action)
    }

    /// Runs `action` whenever `descriptor` has something to read, has ended or has failed.
    ///
    /// The descriptor stays the caller's, who must cancel the watch before closing it.
    ///
    /// - Throws: ``TransportError`` for what cannot be polled, such as a plain file.
    package func onReadable(_ descriptor: Int32, _ action: @escaping () -> Void) throws
        -> ReadableWatch
    {
        try ReadableWatch(on: self, descriptor: descriptor, action)
    }
}
