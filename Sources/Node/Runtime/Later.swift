extension NodeCommands {
    package static func bench(_ options: BenchOptions, _ progress: (JSONValue) -> Void) throws
        -> JSONValue
    { .null }
}
