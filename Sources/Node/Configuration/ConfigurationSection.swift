// One object of the configuration with its typed members: each reader says what it expected, what
// it found, and in which line.

/// A missing key and `null` both mean the default and read as nil.
package struct ConfigurationSection {
    /// Where the text came from.
    struct Source {
        let file: String
        /// The line of each key by its path.
        let lines: [String: Int]
    }

    private let object: JSONObject
    private let path: String
    private let source: Source

    /// The whole of a JSON5 text.
    ///
    /// - Throws: `badConfiguration`; the message names `file`, the line and the remedy.
    package init(json5 bytes: [UInt8], file: String) throws(NodeError) {
        let limits = JSONLimits(
            bytesMax: Configuration.fileBytesMax, depthMax: 16, valuesMax: 1 << 14)
        var parser = JSONParser(bytes: bytes, dialect: .json5, limits: limits)
        let value: JSONValue
        do { value = try parser.document() } catch {
            throw NodeError(.badConfiguration, "\(file) \(error)", cause: error)
        }
        try self.init(value, path: "", source: Source(file: file, lines: parser.lines))
    }

    init(_ value: JSONValue, path: String, source: Source) throws(NodeError) {
        self.path = path
        self.source = source
        guard let object = value.object else {
            self.object = [:]
            throw failure(nil, "expected { … }, not \(Self.kind(value))")
        }
        self.object = object
    }

    /// Refuses keys that are not in `known`.
    package func allow(_ known: [String]) throws(NodeError) {
        guard let key = object.keys.first(where: { !known.contains($0) }) else { return }
        let place = path.isEmpty ? "" : " in \"\(path)\""
        if let meant = Suggestion.nearest(to: key, among: known) {
            throw failure(key, "unknown key \"\(key)\"\(place); did you mean \"\(meant)\"?")
        }
        throw failure(
            key, "unknown key \"\(key)\"\(place); known are \(known.joined(separator: ", "))")
    }

    /// An error at `key`, or at the section itself.
    package func failure(_ key: String?, _ message: String) -> NodeError {
        // A key that is missing has the line of the object that lacks it, or of the list.
        let own = key.flatMap { source.lines[inner($0)] ?? first(below: inner($0)) }
        let line = own ?? first(below: path) ?? source.lines[String(path.prefix { $0 != "[" })]
        return NodeError(
            .badConfiguration,
            "\(source.file)\(line.map { " line \($0)" } ?? ""): \(message)")
    }

    package func text(_ key: String) throws(NodeError) -> String? {
        guard let value = present(key) else { return nil }
        guard let text = value.string else { throw mismatch(key, "a text in quotes", value) }
        return text
    }

    package func flag(_ key: String) throws(NodeError) -> Bool? {
        guard let value = present(key) else { return nil }
        guard let flag = value.bool else { throw mismatch(key, "true or false", value) }
        return flag
    }

    package func number(_ key: String, _ range: ClosedRange<Int>) throws(NodeError) -> Int? {
        guard let value = present(key) else { return nil }
        guard let number = value.int else { throw mismatch(key, "a whole number", value) }
        guard let fitting = Int(exactly: number), range.contains(fitting) else {
            throw failure(
                key,
                "\"\(key)\" must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return fitting
    }

    package func texts(_ key: String) throws(NodeError) -> [String]? {
        guard let value = present(key) else { return nil }
        guard let items = value.array else { throw mismatch(key, "a list [ … ] of texts", value) }
        var texts: [String] = []
        for item in items {
            guard let text = item.string else { throw mismatch(key, "a list of texts", item) }
            texts.append(text)
        }
        return texts
    }

    package func section(_ key: String) throws(NodeError) -> ConfigurationSection? {
        guard let value = present(key) else { return nil }
        return try ConfigurationSection(value, path: inner(key), source: source)
    }

    func sections(_ key: String) throws(NodeError) -> [ConfigurationSection]? {
        guard let value = present(key) else { return nil }
        guard let items = value.array else { throw mismatch(key, "a list [ … ]", value) }
        var sections: [ConfigurationSection] = []
        for (index, item) in items.enumerated() {
            sections.append(
                try ConfigurationSection(item, path: inner("\(key)[\(index)]"), source: source))
        }
        return sections
    }

    package func address(_ key: String, _ text: String) throws(NodeError) -> HostPort {
        guard let address = HostPort(text) else {
            throw failure(
                key,
                "\"\(text)\" in \"\(key)\" is no address: write HOST:PORT, with an IPv6 address "
                    + "in brackets, such as \"192.168.1.20:7878\" or \"[fe80::1%eth0]:7878\"")
        }
        return address
    }

    func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, _ text: String
    ) throws(NodeError) -> Choice where Choice.RawValue == String {
        guard let choice = Choice(rawValue: text) else {
            let all = Choice.allCases.map(\.rawValue)
            let meant = Suggestion.nearest(to: text, among: all)
            throw failure(
                key,
                "\"\(key)\" must be one of \(all.joined(separator: ", ")), not \"\(text)\""
                    + (meant.map { "; did you mean \"\($0)\"?" } ?? ""))
        }
        return choice
    }

    private func present(_ key: String) -> JSONValue? {
        object[key].flatMap { $0.isNull ? nil : $0 }
    }

    /// The first line on which a key stands inside the object at `place`.
    private func first(below place: String) -> Int? {
        source.lines.filter { $0.key.hasPrefix("\(place).") }.map(\.value).min()
    }

    private func inner(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    private func mismatch(_ key: String, _ expected: String, _ found: JSONValue) -> NodeError {
        failure(key, "\"\(key)\" must be \(expected), not \(Self.kind(found))")
    }

    private static func kind(_ value: JSONValue) -> String {
        switch value {
        case .null: "null"
        case .bool(let flag): flag ? "true" : "false"
        case .int(let number): "the number \(number)"
        case .double(let number): "the number \(number)"
        case .string(let text): "the text \"\(text.prefix(40))\""
        case .array: "a list"
        case .object: "an object"
        }
    }
}
