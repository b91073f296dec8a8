// `--help`: the overview of the program and the page of one command, from their declarations.

struct Help {
    let commands: [CommandSpec]
    let width: Int

    /// The page of the whole program.
    var overview: String {
        var text = """
            starling keeps ordinary SQLite tables the same on several machines.

            Usage: starling [--home DIR] COMMAND …

            Commands:

            """
        text += Self.columns(commands.map { ($0.synopsis(short: true), $0.summary) }, width)
        text += "\nOptions for every command:\n"
        text += Self.columns(OptionSpec.everywhere.map { ($0.synopsis, $0.help) }, width)
        text += "\nExit codes:\n"
        text += Self.columns(ExitCode.allCases.map { (String($0.rawValue), $0.meaning) }, width)
        text += "\nMore about one command: starling COMMAND --help\n"
        return text
    }

    /// The page of one command.
    func page(_ command: CommandSpec) -> String {
        var text = Self.wrapped("starling \(command.name): \(command.summary).", width, indent: 0)
        text += "\nUsage: starling \(command.synopsis(short: false))\n"
        for paragraph in command.discussion.split(separator: "\n\n") {
            text += "\n" + Self.wrapped(String(paragraph), width, indent: 0)
        }
        let inner = commands.filter { $0.path.count == 2 && [$0.path[0]] == command.path }
        if !inner.isEmpty {
            text += "\nCommands:\n"
            text += Self.columns(inner.map { ($0.synopsis(short: true), $0.summary) }, width)
        }
        if !command.operands.isEmpty {
            text += "\nOperands:\n"
            text += Self.columns(command.operands.map { ($0.synopsis, $0.help) }, width)
        }
        text += "\nOptions:\n"
        text += Self.columns(command.allOptions.map { ($0.synopsis, $0.help) }, width)
        if !command.examples.isEmpty {
            text += "\nExamples:\n"
            for example in command.examples { text += "  \(example)\n" }
        }
        return text
    }

    /// Two columns; the second is wrapped.
    static func columns(_ rows: [(String, String)], _ width: Int) -> String {
        let left = min(rows.map(\.0.count).max() ?? 0, 36)
        var text = ""
        for (term, words) in rows {
            let wrapped = wrapped(words, width, indent: left + 4)
            if term.count > left {
                text += "  \(term)\n\(wrapped)"
            } else {
                let padding = String(repeating: " ", count: left - term.count)
                text += "  \(term)\(padding)  \(wrapped.drop { $0 == " " })"
            }
        }
        return text
    }

    /// `words` in lines of at most `width` characters, each ended.
    static func wrapped(_ words: String, _ width: Int, indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        var text = ""
        var line = ""
        for word in words.split(whereSeparator: \.isWhitespace) {
            if !line.isEmpty, indent + line.count + 1 + word.count > width {
                text += "\(margin)\(line)\n"
                line = ""
            }
            line += line.isEmpty ? String(word) : " \(word)"
        }
        return text + "\(margin)\(line)\n"
    }
}

extension CommandSpec {
    /// The command with its operands and, unless `short`, its options.
    func synopsis(short: Bool) -> String {
        let own = short ? [] : options.map { "[\($0.synopsis)]" + ($0.repeats ? "…" : "") }
        let json = short || !printsFacts ? [] : ["[--json]"]
        return ([name] + operands.map(\.synopsis) + own + json).joined(separator: " ")
    }
}

extension OptionSpec {
    var synopsis: String {
        (short.map { "\($0), " } ?? "") + name + (placeholder.map { " \($0)" } ?? "")
    }
}
