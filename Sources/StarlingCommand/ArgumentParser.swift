// From words to an invocation: options in any order, before and after the command and its operands,
// `--name value` and `--name=value`, and `--` to end the options.

import Node

struct ArgumentParser {
    let commands: [CommandSpec]

    /// What the words ask for.
    enum Outcome {
        case invocation(Invocation)
        /// `--version`.
        case version
        /// No command: with `--help`, or because there are no words at all.
        case overview(asked: Bool)
    }

    func parse(_ words: [String]) throws(UsageError) -> Outcome {
        var state = State(words: words)
        guard let command = try findCommand(&state) else {
            if state.version { return .version }
            return .overview(asked: state.help)
        }
        state.invocation = Invocation(command: command)
        while let word = state.next() {
            if word == "--", !state.onlyOperands {
                state.onlyOperands = true
            } else if word.hasPrefix("-"), word != "-", !state.onlyOperands {
                try option(word, among: command.allOptions + [.version], command, &state)
            } else {
                state.operands.append(word)
            }
        }
        if state.version { return .version }
        return .invocation(try finish(command, state))
    }

    private struct State {
        var words: [String]
        var index = 0
        var onlyOperands = false
        var version = false
        var home: String?
        var json = false
        var help = false
        var operands: [String] = []
        var invocation: Invocation?

        init(words: [String]) { self.words = words }

        mutating func next() -> String? {
            guard index < words.count else { return nil }
            index += 1
            return words[index - 1]
        }
    }

    // MARK: Commands

    /// Reads the options before the command and the command's one or two words.
    private func findCommand(_ state: inout State) throws(UsageError) -> CommandSpec? {
        while let word = state.next() {
            if word.hasPrefix("-") {
                try option(word, among: OptionSpec.everywhere, nil, &state)
                continue
            }
            let family = commands.filter { $0.path[0] == word }
            guard !family.isEmpty else {
                var known: [String] = []
                for command in commands where !known.contains(command.path[0]) {
                    known.append(command.path[0])
                }
                let meant = Suggestion.nearest(to: word, among: known)
                throw UsageError(
                    message: "unknown command \"\(word)\""
                        + (meant.map { "; did you mean \($0)?" } ?? ""))
            }
            return try subcommand(of: family, &state)
        }
        return nil
    }

    private func subcommand(
        of family: [CommandSpec], _ state: inout State
    ) throws(UsageError) -> CommandSpec? {
        // Options may stand between the two words of a command.
        var ahead = state.index
        while ahead < state.words.count, state.words[ahead].hasPrefix("-") {
            let word = state.words[ahead]
            ahead += word == OptionSpec.home.name ? 2 : 1
        }
        let plain = family.first { $0.path.count == 1 }
        guard family.count > 1, ahead < state.words.count else { return plain ?? family.first }
        let second = state.words[ahead]
        if let found = family.first(where: { $0.path.count == 2 && $0.path[1] == second }) {
            state.words.remove(at: ahead)
            return found
        }
        guard plain?.operands.isEmpty == true else { return plain }
        let known = family.compactMap { $0.path.count == 2 ? $0.path[1] : nil }
        let meant = Suggestion.nearest(to: second, among: known)
        throw UsageError(
            message: "unknown command \"\(family[0].path[0]) \(second)\""
                + (meant.map { "; did you mean \(family[0].path[0]) \($0)?" }
                    ?? "; known are \(known.joined(separator: ", "))"),
            command: family[0].path[0])
    }

    // MARK: Options

    private func option(
        _ word: String, among known: [OptionSpec], _ command: CommandSpec?, _ state: inout State
    ) throws(UsageError) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let spec = known.first(where: { $0.name == name || $0.short == name }) else {
            throw unknown(name, among: known, command)
        }
        var value = parts.count == 2 ? String(parts[1]) : nil
        if let placeholder = spec.placeholder {
            if value == nil {
                value = state.next()
                // A missing value must not swallow the next option.
                if value?.hasPrefix("--") == true { value = nil }
            }
            guard let value else {
                throw UsageError(
                    message: "\(spec.name) needs a value: \(spec.name) \(placeholder)",
                    command: command?.name)
            }
            if let objection = spec.kind.objection(to: value) {
                throw UsageError(
                    message: "\(spec.name) \(objection), not \"\(value)\"", command: command?.name)
            }
        } else if value != nil {
            throw UsageError(message: "\(spec.name) takes no value", command: command?.name)
        }
        try store(spec, value ?? "", command, &state)
    }

    private func store(
        _ spec: OptionSpec, _ value: String, _ command: CommandSpec?, _ state: inout State
    ) throws(UsageError) {
        switch spec {
        case .home: state.home = value
        case .json: state.json = true
        case .help: state.help = true
        case .version: state.version = true
        default:
            let earlier = state.invocation?.options[spec.name]
            if earlier != nil, spec.placeholder != nil, !spec.repeats {
                throw UsageError(
                    message: "\(spec.name) can be given only once", command: command?.name)
            }
            state.invocation?.options[spec.name] = (earlier ?? []) + [value]
        }
    }

    private func unknown(
        _ name: String, among known: [OptionSpec], _ command: CommandSpec?
    ) -> UsageError {
        if command == nil, let owner = commands.first(where: { $0.takes(name) }) {
            return UsageError(
                message: "\(name) belongs behind its command: starling \(owner.name) \(name) …",
                command: owner.name)
        }
        if name == OptionSpec.json.name, let command {
            return UsageError(message: "\(command.name) takes no --json", command: command.name)
        }
        let meant = Suggestion.nearest(to: name, among: known.map(\.name))
        return UsageError(
            message: "unknown option \(name)" + (meant.map { "; did you mean \($0)?" } ?? ""),
            command: command?.name)
    }

    // MARK: Operands

    private func finish(
        _ command: CommandSpec, _ state: State
    ) throws(UsageError) -> Invocation {
        var invocation = state.invocation ?? Invocation(command: command)
        invocation.home = state.home
        invocation.json = state.json
        invocation.help = state.help
        invocation.operands = state.operands
        if state.help { return invocation }
        if state.json, !command.printsFacts {
            throw UsageError(message: "\(command.name) takes no --json", command: command.name)
        }
        var rest = state.operands[...]
        for spec in command.operands {
            let taken: ArraySlice<String>
            switch spec.arity {
            case .one, .optional: taken = rest.prefix(1)
            case .many: taken = rest
            }
            rest = rest.dropFirst(taken.count)
            let required = spec.arity == .one ? 1 : spec.arity == .many(1) ? 1 : 0
            guard taken.count >= required else {
                throw UsageError(
                    message: "\(command.name) needs \(spec.synopsis): \(spec.help)",
                    command: command.name)
            }
            for word in taken {
                if let objection = spec.kind.objection(to: word) {
                    throw UsageError(
                        message: "\(spec.placeholder) \(objection), not \"\(word)\"",
                        command: command.name)
                }
            }
        }
        if let extra = rest.first {
            throw UsageError(
                message: "\(command.name) does not know what to do with \"\(extra)\"",
                command: command.name)
        }
        return invocation
    }
}

extension CommandSpec {
    fileprivate func takes(_ option: String) -> Bool {
        options.contains { $0.name == option || $0.short == option }
    }
}
