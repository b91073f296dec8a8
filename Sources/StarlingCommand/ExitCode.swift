// The exit codes of `starling`, in one place: what the program returns, what `--help` says.

import Node

/// Stable: scripts rely on them.
enum ExitCode: Int32, CaseIterable {
    case success = 0
    case failure = 1
    case usage = 2
    case notRunning = 3
    case notSynced = 4
    case configuration = 5
    case refused = 6
    case interrupted = 130
    case brokenPipe = 141

    /// A line of `starling help`.
    var meaning: String {
        switch self {
        case .success: "done"
        case .failure: "it did not work; the reason is on standard error"
        case .usage: "the command line is wrong"
        case .notRunning: "the command needs the running node, and it is not running"
        case .notSynced: "not in sync, or no answer in time"
        case .configuration: "the home folder or its configuration is missing or wrong"
        case .refused: "another node has the folder or the file, or it exists already"
        case .interrupted: "interrupted from the keyboard"
        case .brokenPipe: "the reader of standard output went away"
        }
    }

    /// What an error means to a script.
    init(_ error: any Error) {
        switch NodeError.Code(rawValue: ControlError(error).code) {
        case .usage: self = .usage
        case .notRunning: self = .notRunning
        case .timeout, .notSynced: self = .notSynced
        case .badHome, .badConfiguration: self = .configuration
        case .refused: self = .refused
        default: self = .failure
        }
    }
}
