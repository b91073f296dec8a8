// The program `starling`: takes the process's words, streams and signals, and hands them on.

import CPlatform
import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@main struct Main {
    static func main() {
        let words = Array(words.dropFirst())
        prepareSignals()
        hideInvitation()
        let environment: (String) -> String? = { name in
            getenv(name).map { String(cString: $0) }
        }
        let application = Application(
            commands: .program, environment: environment,
            output: Output(descriptor: STDOUT_FILENO, environment: environment),
            errors: Output(descriptor: STDERR_FILENO, environment: environment))
        exit(application.run(words).rawValue)
    }

    /// The words of this process. Swift looks for them beside the environment, and finds none when a library
    /// that was loaded before has moved that: then the kernel is asked (proc(5)).
    private static var words: [String] {
        let found = CommandLine.arguments
        guard found.count <= 1, let file = fopen("/proc/self/cmdline", "r") else { return found }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var next = getc(file)
        while next != EOF {
            bytes.append(UInt8(truncatingIfNeeded: next))
            next = getc(file)
        }
        // Each word ends with a zero.
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// An invitation, in whatever pieces, and no shorter word.
    private static let invitationLettersMin = 24

    /// Other users of this machine can read a process's words; a secret is gone from them at once.
    private static func hideInvitation() {
        guard CommandLine.arguments.contains("join") else { return }
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let word = CommandLine.unsafeArgv[index], strlen(word) >= invitationLettersMin
            else {
                continue
            }
            memset(word, 0x78, strlen(word))
        }
    }

    /// A reader that goes away is an error of `write` and not a signal; Ctrl-C ends quietly,
    /// unless whoever started the program chose that it is ignored. `run` takes the signals over.
    private static func prepareSignals() {
        _ = signal(SIGPIPE, SIG_IGN)
        let earlier = signal(SIGINT) { _ in
            // Only what a signal handler may call. A progress bar is wiped away.
            let clearLine: StaticString = "\r\u{1b}[K"
            if isatty(STDERR_FILENO) == 1 {
                _ = write(STDERR_FILENO, clearLine.utf8Start, clearLine.utf8CodeUnitCount)
            }
            _exit(ExitCode.interrupted.rawValue)
        }
        if isIgnored(earlier) { _ = signal(SIGINT, SIG_IGN) }
    }

    private static func isIgnored(_ handler: (@convention(c) (Int32) -> Void)?) -> Bool {
        unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}

extension NodeCommands {
    /// The commands of this program.
    static var program: NodeCommands {
        NodeCommands(
            initialize: { try NodeCommands.initialize($0) },
            join: { options, say in try NodeCommands.join(options, say: say) },
            run: { try NodeCommands.run($0) },
            offline: { try NodeCommands.offline($0) },
            demo: { say in try NodeCommands.demo(say) },
            bench: { options, progress in try NodeCommands.bench(options, progress) })
    }
}
