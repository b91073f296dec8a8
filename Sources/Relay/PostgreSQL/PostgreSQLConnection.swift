// One connection of libpq: statements prepared once, values in binary, many rows in one round trip.

internal import CPostgreSQL
internal import RelayProtocol
internal import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A failure that the server or the connection reported.
struct PostgreSQLError: Error, CustomDebugStringConvertible {
    /// SQLSTATE; empty when the connection failed.
    var state: String
    /// The server's first line: without its detail, which can hold values.
    var message: String

    /// Another transaction stood in the way: the same again succeeds.
    var isRetryable: Bool { state == "40001" || state == "40P01" }
    var isUnique: Bool { state == "23505" }
    var isFull: Bool { state == "53100" }
    /// The server is starting, stopping, or has no more connections.
    var isAway: Bool {
        state.isEmpty || state.hasPrefix("57P") || state.hasPrefix("08") || state == "53300"
    }
    /// The server does not know what was asked for.
    var isUnsupported: Bool { state == "0A000" || state == "42601" || state == "42883" }

    var debugDescription: String { "\(message) (SQLSTATE \(state.isEmpty ? "none" : state))" }
}

/// Not thread-safe: it belongs to one thread.
final class PostgreSQLConnection {
    let pointer: OpaquePointer
    private var names: [String: String] = [:]

    private static let bytesType: Oid = 17
    private static let numberType: Oid = 20
    private static let textType: Oid = 25
    /// Rows in one round trip: their answers fit into the socket's buffers while all are being sent.
    private static let rowsPerTripMax = 128
    private static let connectSeconds = "5"

    init(url: String) throws {
        if let reason = starling_pg_load() {
            throw PostgreSQLError(state: "", message: String(cString: reason))
        }
        let settings = [
            ("dbname", url), ("connect_timeout", Self.connectSeconds),
            ("fallback_application_name", "starling-relay"), ("keepalives_idle", "15"),
            ("keepalives_interval", "5"), ("keepalives_count", "3"), ("tcp_user_timeout", "30000"),
            ("client_encoding", "UTF8"),
        ]
        var words: [UnsafePointer<CChar>?] = settings.map { UnsafePointer(strdup($0.0)) } + [nil]
        var values: [UnsafePointer<CChar>?] = settings.map { UnsafePointer(strdup($0.1)) } + [nil]
        defer { (words + values).forEach { free(UnsafeMutableRawPointer(mutating: $0)) } }
        guard let pointer = PQconnectdbParams(&words, &values, 1) else {
            throw PostgreSQLError(state: "", message: "out of memory")
        }
        self.pointer = pointer
        guard PQstatus(pointer) == CONNECTION_OK else {
            // The words can name hosts and users, never a password.
            // The connection is freed with this value.
            throw PostgreSQLError(state: "", message: String(cString: PQerrorMessage(pointer)))
        }
        starling_pg_silence(pointer)
    }

    deinit { PQfinish(pointer) }

    /// The server has said goodbye (that the socket is closed is noticed later), or libpq failed.
    private var hasEnded = false

    var isOpen: Bool { !hasEnded && PQstatus(pointer) == CONNECTION_OK }

    /// Runs statements without parameters; no rows.
    func execute(_ sql: String) throws { _ = try checked(PQexec(pointer, sql)) }

    /// Runs a statement; its rows, and how many it changed.
    func run(_ sql: String, _ values: [Value]) throws -> (rows: [[Value]], changes: Int) {
        let name = try prepared(sql, values)
        let result = try withParameters(values) { pointers, lengths, formats in
            try checked(
                PQexecPrepared(
                    pointer, name, Int32(values.count), pointers, lengths, formats, 1))
        }
        let changes = PQcmdTuples(result.pointer).flatMap { Int(String(cString: $0)) } ?? 0
        return (result.rows, changes)
    }

    /// The same statement for each row of values, in few round trips; the rows of each.
    func runEach(_ sql: String, _ all: [[Value]]) throws -> [[[Value]]] {
        guard let first = all.first else { return [] }
        let name = try prepared(sql, first)
        var results: [[[Value]]] = []
        for start in stride(from: 0, to: all.count, by: Self.rowsPerTripMax) {
            let some = all[start..<min(start + Self.rowsPerTripMax, all.count)]
            results += try trip(name, Array(some))
        }
        return results
    }

    private func trip(_ name: String, _ all: [[Value]]) throws -> [[[Value]]] {
        guard PQenterPipelineMode(pointer) == 1 else { throw failure() }
        for values in all {
            let isSent = withParameters(values) { pointers, lengths, formats in
                PQsendQueryPrepared(
                    pointer, name, Int32(values.count), pointers, lengths, formats, 1)
            }
            guard isSent == 1 else { throw failure() }
        }
        guard PQpipelineSync(pointer) == 1 else { throw failure() }
        var results: [[[Value]]] = []
        var error: (any Error)?
        for _ in all {
            do {
                let result = try checked(PQgetResult(pointer))
                results.append(result.rows)
            } catch let found {
                if error == nil { error = found }
            }
            // Each result is followed by the end of its query.
            while let more = PQgetResult(pointer) { PQclear(more) }
        }
        while let last = PQgetResult(pointer) {
            let status = PQresultStatus(last)
            PQclear(last)
            if status == PGRES_PIPELINE_SYNC { break }
        }
        let isLeft = PQexitPipelineMode(pointer) == 1
        if !isLeft { hasEnded = true }
        if let error { throw error }
        guard isLeft else { throw failure() }
        return results
    }

    private func prepared(_ sql: String, _ values: [Value]) throws -> String {
        if let name = names[sql] { return name }
        let name = "s\(names.count)"
        let types = values.map { value -> Oid in
            switch value {
            case .blob: Self.bytesType
            case .integer: Self.numberType
            case .text: Self.textType
            default: 0
            }
        }
        _ = try checked(PQprepare(pointer, name, sql, Int32(types.count), types))
        names[sql] = name
        return name
    }

    private func withParameters<Result>(
        _ values: [Value],
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>, UnsafePointer<Int32>
        ) throws -> Result
    ) rethrows -> Result {
        var lengths: [Int32] = []
        // One buffer for all values: libpq copies them while it sends.
        var buffer: [UInt8] = []
        var places: [Int?] = []
        buffer.reserveCapacity(values.reduce(16) { $0 + $1.payloadBytes })
        for value in values {
            places.append(value.isNull ? nil : buffer.count)
            switch value {
            case .integer(let number):
                for shift in stride(from: 56, through: 0, by: -8) {
                    buffer.append(UInt8(truncatingIfNeeded: number >> Int64(shift)))
                }
            case .blob(let bytes), .text(let bytes): buffer.append(contentsOf: bytes)
            case .real, .null: break
            }
            lengths.append(Int32(buffer.count - (places.last.flatMap(\.self) ?? buffer.count)))
        }
        buffer.append(0)
        let formats = [Int32](repeating: 1, count: values.count + 1)
        lengths.append(0)
        return try buffer.withUnsafeBytes { raw in
            let start = raw.bindMemory(to: CChar.self).baseAddress
            let pointers =
                places.map { place in
                    place.flatMap { offset in start.map { UnsafePointer($0 + offset) } }
                } + [nil]
            return try body(pointers, lengths, formats)
        }
    }

    /// What libpq says, not the server: nothing more is done on this connection, in whatever state it is.
    private func failure() -> PostgreSQLError {
        hasEnded = true
        return PostgreSQLError(state: "", message: String(cString: PQerrorMessage(pointer)))
    }

    private func checked(_ result: OpaquePointer?) throws -> PostgreSQLResult {
        guard let result else { throw failure() }
        let owned = PostgreSQLResult(result)
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK: return owned
        case PGRES_PIPELINE_ABORTED:
            throw PostgreSQLError(state: "25P02", message: "an earlier statement failed")
        default:
            let state = String(cString: starling_pg_state(result))
            if state.hasPrefix("57P") { hasEnded = true }
            // Without a state it is the connection that failed.
            throw state.isEmpty
                ? failure()
                : PostgreSQLError(
                    state: state, message: String(cString: starling_pg_message(result)))
        }
    }
}

/// A result of libpq, freed with the value.
private final class PostgreSQLResult {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { PQclear(pointer) }

    var rows: [[Value]] {
        let columns = PQnfields(pointer)
        return (0..<PQntuples(pointer)).map { row in (0..<columns).map { value(row, $0) } }
    }

    private func value(_ row: Int32, _ column: Int32) -> Value {
        guard PQgetisnull(pointer, row, column) == 0, let start = PQgetvalue(pointer, row, column)
        else { return .null }
        let count = Int(PQgetlength(pointer, row, column))
        let bytes = UnsafeRawBufferPointer(start: start, count: count)
        switch PQftype(pointer, column) {
        case 20: return .integer(bytes.reduce(Int64(0)) { $0 << 8 | Int64($1) })
        case 23:
            let unsigned = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return .integer(Int64(Int32(bitPattern: unsigned)))
        case 25, 19, 1043: return .text(Array(bytes))
        default: return .blob(Array(bytes))
        }
    }
}
