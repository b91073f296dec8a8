extension NodeCommands {
    package static func demo(_ say: (String) -> Void) throws -> JSONValue { .null }
    package static func bench(_ options: BenchOptions, _ progress: (JSONValue) -> Void) throws -> JSONValue { .null }
}
