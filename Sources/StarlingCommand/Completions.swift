// Completions for bash and zsh, written from the commands' declarations.

import Node

struct Completions {
    let commands: [CommandSpec]

    func script(_ shell: String) -> String { shell == "zsh" ? zsh : bash }

    /// First words, each once.
    private var families: [String] {
        var names: [String] = []
        for command in commands where !names.contains(command.path[0]) {
            names.append(command.path[0])
        }
        return names
    }

    private func subcommands(of family: String) -> [CommandSpec] {
        commands.filter { $0.path.count == 2 && $0.path[0] == family }
    }

    // MARK: bash

    private var bash: String {
        """
        # Completions of starling for bash: eval "$(starling completions bash)"
        _starling() {
            local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
            # bash makes three words of --name=value.
            if [[ "$word" == "=" ]]; then word=""; fi
            if [[ "$before" == "=" ]]; then before="${COMP_WORDS[COMP_CWORD-2]}"; fi
            local command="" index
            for ((index = 1; index < COMP_CWORD; index++)); do
                case "${COMP_WORDS[index]}" in
                    --home)
                        ((index++))
                        if [[ "${COMP_WORDS[index]}" == "=" ]]; then ((index++)); fi
                        ;;
                    -*) ;;
                    *) command="$command${command:+ }${COMP_WORDS[index]}" ;;
                esac
            done
            COMPREPLY=()
            case "$before" in
        \(bashValues)
            esac
            local words="" files=""
            case "$command" in
        \(bashCommands)
            esac
            case "$word" in
                -*) ;;
                *)
                    if [[ -n "$files" ]]; then
                        compopt -o filenames 2>/dev/null
                        COMPREPLY=($(compgen -f -- "$word"))
                        return
                    fi
                    ;;
            esac
            COMPREPLY=($(compgen -W "$words" -- "$word"))
        }
        complete -F _starling starling

        """
    }

    /// What may follow an option.
    private var bashValues: String {
        var seen: Set<String> = []
        var lines: [String] = []
        for option in commands.flatMap(\.options) + OptionSpec.everywhere {
            guard option.placeholder != nil, seen.insert(option.name).inserted else { continue }
            let action: String
            switch option.kind {
            case .file:
                action = "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$word\"))"
            case .folder:
                action = "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$word\"))"
            case .choice(let words):
                let list = words.joined(separator: " ")
                action = "COMPREPLY=($(compgen -W \"\(list)\" -- \"$word\"))"
            case .text, .address, .count, .seconds, .lifetime: action = ":"
            }
            lines.append("        \(option.name)) \(action); return ;;")
        }
        return lines.joined(separator: "\n")
    }

    private var bashCommands: String {
        let everywhere = OptionSpec.everywhere.map(\.name)
        let first = (families + everywhere).joined(separator: " ")
        var lines = ["        \"\") words=\"\(first)\" ;;"]
        for command in commands {
            let inner =
                command.path.count == 1 ? subcommands(of: command.path[0]).map { $0.path[1] } : []
            let words = inner + choices(command) + command.allOptions.map(\.name)
            let files = command.operands.contains { $0.kind == .file } ? " files=1" : ""
            // A name with operands behind it stays the same command.
            let pattern = inner.isEmpty ? "\"\(command.name)\"*" : "\"\(command.name)\""
            lines.append(
                "        \(pattern)) words=\"\(words.joined(separator: " "))\"\(files) ;;")
        }
        return lines.joined(separator: "\n")
    }

    private func choices(_ command: CommandSpec) -> [String] {
        command.operands.flatMap { operand -> [String] in
            if case .choice(let words) = operand.kind { return words }
            return operand.placeholder == "COMMAND" ? families : []
        }
    }

    // MARK: zsh

    private var zsh: String {
        let summaries = families.map { name in
            let summary = commands.first { $0.path == [name] }?.summary ?? ""
            return "        '\(name):\(Self.quoted(summary))'"
        }
        return """
            #compdef starling
            # Completions of starling for zsh: put this into a file _starling on your fpath.
            _starling() {
                local -a commands
                commands=(
            \(summaries.joined(separator: "\n"))
                )
                _arguments -C \\
            \(zshOptions(OptionSpec.everywhere, indent: 8)) \\
                    '1: :->command' \\
                    '*:: :->rest'
                case "$state" in
                    command) _describe command commands ;;
                    rest)
                        case "${words[1]}" in
            \(families.map(zshFamily).joined(separator: "\n"))
                        esac
                        ;;
                esac
            }
            _starling "$@"

            """
    }

    private func zshFamily(_ name: String) -> String {
        let inner = subcommands(of: name)
        guard let command = commands.first(where: { $0.path == [name] }) else { return "" }
        var lines = ["                \(name))"]
        if !inner.isEmpty {
            let list = inner.map { "'\($0.path[1]):\(Self.quoted($0.summary))'" }
            lines.append("                    local -a inner")
            lines.append("                    inner=(\(list.joined(separator: " ")))")
        }
        lines.append("                    _arguments \\")
        // Those of all its second words, each once: which of them is meant, the shell does not look.
        var options: [OptionSpec] = []
        for option in ([command] + inner).flatMap(\.allOptions)
        where !options.contains(where: { $0.name == option.name }) {
            options.append(option)
        }
        lines.append(zshOptions(options, indent: 24) + zshOperands(command, inner))
        lines.append("                    ;;")
        return lines.joined(separator: "\n")
    }

    private func zshOperands(_ command: CommandSpec, _ inner: [CommandSpec]) -> String {
        let margin = " \\\n" + String(repeating: " ", count: 24)
        if !inner.isEmpty { return "\(margin)'1: :{_describe command inner}'" }
        return command.operands.map { operand in
            let place = if case .many = operand.arity { "*" } else { "1" }
            var action = Self.zshAction(operand.kind)
            if operand.placeholder == "COMMAND" { action = "(\(families.joined(separator: " ")))" }
            return "\(margin)'\(place):\(operand.placeholder):\(action)'"
        }.joined()
    }

    private func zshOptions(_ options: [OptionSpec], indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        return options.map { option in
            let star = option.repeats ? "*" : ""
            let value = option.placeholder.map { ":\($0):\(Self.zshAction(option.kind))" } ?? ""
            return "\(margin)'\(star)\(option.name)[\(Self.quoted(option.help))]\(value)'"
        }.joined(separator: " \\\n")
    }

    private static func zshAction(_ kind: ValueKind) -> String {
        switch kind {
        case .file: "_files"
        case .folder: "_files -/"
        case .choice(let words): "(\(words.joined(separator: " ")))"
        case .text, .address, .count, .seconds, .lifetime: ""
        }
    }

    /// Text inside single quotes, in a place where colons and brackets have a meaning.
    private static func quoted(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "'": result += "'\\''"
            case ":", "[", "]": result += "\\\(character)"
            default: result.append(character)
            }
        }
        return result
    }
}
