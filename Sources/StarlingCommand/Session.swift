// Who answers a question: the running node over its socket; without one, the handler that reads the
// file in this process; or nobody, in words.

import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct Session {
    let home: Home
    let offline: (Home) throws -> any CommandHandler

    /// How long a node may take from its lock to its socket, or from its socket to its end.
    var startMillisecondsMax: Int64
    private static let pauseMilliseconds: Int32 = 20

    /// Asks `request` and returns the result.
    ///
    /// - Throws: `badHome` when there is no node, `notRunning` when the command needs a running
    ///   one, `refused` when a process holds the home and does not listen; the answer's error.
    func perform(
        _ request: ControlRequest, _ plan: ControlPlan,
        onEvent: @escaping (JSONValue) throws -> Void
    ) throws -> JSONValue {
        _ = try home.identity()
        if let client = try connect() {
            // What `wait` may take depends on its own argument.
            let timeout = request.arguments["timeout_ms"]?.int.map { Int($0) + 10_000 }
            return try client.call(
                request, silenceMilliseconds: plan.silenceMilliseconds ?? timeout,
                onEvent: onEvent)
        }
        guard plan.withoutNode else { throw Self.notRunning }
        return try ask(try offline(home), request, onEvent: onEvent)
    }

    /// Asks a running node something that takes as long as a person does.
    func converse(
        _ request: ControlRequest, input: InputLines?,
        onEvent: @escaping (JSONValue) throws -> Void
    ) throws -> JSONValue {
        _ = try home.identity()
        guard let client = try connect() else { throw Self.notRunning }
        return try client.call(
            request, silenceMilliseconds: nil, input: input, onEvent: onEvent)
    }

    private static let notRunning = NodeError(
        .notRunning, "the node is not running: start it with `starling run`")

    /// The running node; nil when there is none.
    private func connect() throws -> ControlClient? {
        let deadline = MonotonicClock.milliseconds() + startMillisecondsMax
        while true {
            do throws(NodeError) { return try ControlClient(home: home) } catch {
                guard error.code == .notRunning else { throw error }
            }
            // A node that has just started holds its lock before it listens.
            let state = home.runningNode()
            guard state.isRunning else { return nil }
            guard MonotonicClock.milliseconds() < deadline else {
                let who = state.pid.map { "process \($0)" } ?? "a process"
                throw NodeError(
                    .refused,
                    "\(who) holds \(home.path) but does not answer: wait until it is done, or "
                        + "stop it")
            }
            _ = poll(nil, 0, Self.pauseMilliseconds)
        }
    }

    private func ask(
        _ handler: any CommandHandler, _ request: ControlRequest,
        onEvent: @escaping (JSONValue) throws -> Void
    ) throws -> JSONValue {
        var answer: Result<JSONValue, any Error>?
        handler.handle(request) { reply in
            guard answer == nil else { return }
            switch reply {
            case .event(let event):
                do { try onEvent(event) } catch { answer = .failure(error) }
            case .result(let result): answer = .success(result)
            case .error(let error): answer = .failure(error)
            }
        }
        guard let answer else {
            throw NodeError(.failed, "the command ended without an answer; this is a defect")
        }
        return try answer.get()
    }
}
