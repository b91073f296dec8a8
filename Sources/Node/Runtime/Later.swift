extension NodeCommands {
    package static func demo(_ say: (String) -> Void) throws -> JSONValue { .null }
}
