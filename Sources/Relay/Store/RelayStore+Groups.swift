// Enrolling groups, their credentials, and what the operator sees and does.

package import RelayProtocol
internal import Trust
internal import Values

extension RelayStore {
    /// What permits to enrol a group.
    package enum Permission: Sendable {
        /// The relay is open to everybody.
        case open
        /// The digest of what was shown as a token, if anything was.
        case token([UInt8]?)
    }

    /// Makes a log for a group. With the credential that it has already this changes nothing, whatever the
    /// permission.
    ///
    /// - Returns: whether the group is new.
    /// - Throws: `tokenNeeded`, `taken`.
    package func enrol(_ name: GroupName, digest: [UInt8], _ permission: Permission) throws -> Bool
    {
        try session.transaction {
            let present = try row(name, locks: false)
            if let present, areEqual(present.credential, digest) { return false }
            if case .token(let shown) = permission {
                guard let shown, try isToken(shown, isTaken: present == nil) else {
                    throw RelayError(
                        .tokenNeeded,
                        "this relay enrols groups with a token only: ask its operator for one")
                }
            }
            guard present == nil else {
                throw RelayError(
                    .taken, "a group of this name is enrolled with another credential")
            }
            let moment = Value.integer(now())
            try session.run(
                "INSERT INTO relay_groups (name, credential, generation, head, link, first, base, entries, "
                    + "bytes, created_ms, used_ms) VALUES ($1, $2, $3, 0, $4, 1, $5, 0, 0, $6, $7)",
                [
                    .blob(name.bytes), .blob(digest), .blob(randomBytes(LogPosition.partBytes)),
                    .blob(Self.rootLink), .blob(Self.rootLink), moment, moment,
                ])
            return true
        }
    }

    /// Whether a token can be used; uses it once if `isTaken`.
    private func isToken(_ digest: [UInt8], isTaken: Bool) throws -> Bool {
        let moment = Value.integer(now())
        if isTaken {
            return try session.run(
                "UPDATE relay_tokens SET uses = uses - 1 "
                    + "WHERE digest = $1 AND uses > 0 AND expires_ms > $2", [.blob(digest), moment])
                == 1
        }
        return try !session.query(
            "SELECT uses FROM relay_tokens WHERE digest = $1 AND uses > 0 AND expires_ms > $2",
            [.blob(digest), moment]
        ).isEmpty
    }

    /// Replaces the credential of a group.
    package func rotate(_ name: GroupName, digest: [UInt8], to next: [UInt8]) throws {
        try session.transaction {
            let group = try group(name, digest: digest, locks: true)
            try session.run(
                "UPDATE relay_groups SET credential = $1, used_ms = $2 WHERE id = $3",
                [.blob(next), .integer(now()), .integer(group.id)])
        }
    }

    // MARK: The operator

    /// A new token for enrolling; only here it can be read.
    package func makeToken(uses: Int64, lifetimeMilliseconds: Int64) throws -> String {
        let token = Hex.text(randomBytes(20))
        let moment = now()
        try session.run(
            "DELETE FROM relay_tokens WHERE expires_ms <= $1 OR uses = 0", [.integer(moment)])
        try session.run(
            "INSERT INTO relay_tokens (digest, uses, expires_ms, created_ms) VALUES ($1, $2, $3, $4)",
            [
                .blob(sha256(Array(token.utf8))), .integer(uses),
                .integer(moment + lifetimeMilliseconds), .integer(moment),
            ])
        return token
    }

    /// Takes all tokens back.
    ///
    /// - Returns: how many could still be used.
    package func revokeTokens() throws -> Int {
        let open = try session.query(
            "SELECT COUNT(*) FROM relay_tokens WHERE uses > 0 AND expires_ms > $1",
            [.integer(now())])
        try session.run("DELETE FROM relay_tokens", [])
        return Int(open.first?[0].number ?? 0)
    }

    /// What the operator sees of a group.
    package struct Usage: Sendable, Equatable {
        package var name: String
        package var entries: Int64
        package var bytes: Int64
        /// Number of the newest entry: how many there ever were.
        package var head: Int64
        package var snapshots: Int64
        /// Milliseconds since 1970.
        package var created: Int64
        package var used: Int64
    }

    /// Groups by the bytes that they use, the greatest first.
    package func usage(count: Int, name: GroupName? = nil) throws -> [Usage] {
        var values: [Value] = name.map { [.blob($0.bytes)] } ?? []
        values.append(.integer(Int64(count)))
        return try session.query(
            "SELECT name, entries, bytes, head, (SELECT COUNT(*) FROM relay_snapshots s "
                + "WHERE s.grp = g.id AND s.complete = 1), created_ms, used_ms FROM relay_groups g "
                + (name == nil ? "ORDER BY bytes DESC, id LIMIT $1" : "WHERE name = $1 LIMIT $2"),
            values
        ).map {
            Usage(
                name: Hex.text($0[0].blobBytes ?? []), entries: $0[1].number, bytes: $0[2].number,
                head: $0[3].number, snapshots: $0[4].number, created: $0[5].number,
                used: $0[6].number)
        }
    }

    /// Groups, and what they use together.
    package func totals() throws -> (groups: Int64, entries: Int64, bytes: Int64) {
        let row = try session.query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(entries), 0) AS BIGINT), "
                + "CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM relay_groups", []
        ).first
        return (row?[0].number ?? 0, row?[1].number ?? 0, row?[2].number ?? 0)
    }

    /// Removes a group and all that it stored. Nobody gets in from the first step on; the group's row goes
    /// last, so that a deletion that was broken off can be repeated.
    ///
    /// - Returns: whether there was such a group.
    package func delete(_ name: GroupName) throws -> Bool {
        let id: Int64? = try session.transaction {
            guard let found = try row(name, locks: true) else { return nil }
            try session.run(
                "UPDATE relay_groups SET credential = $1 WHERE id = $2",
                [.blob([]), .integer(found.group.id)])
            try session.run(
                "UPDATE relay_snapshots SET complete = 2 WHERE grp = $1", [.integer(found.group.id)]
            )
            return found.group.id
        }
        guard let id else { return false }
        while try sweep() {}
        var isMore = true
        while isMore {
            let rows = try session.query(
                "SELECT number FROM relay_entries WHERE grp = $1 ORDER BY number LIMIT 1000",
                [.integer(id)])
            isMore = !rows.isEmpty
            if let last = rows.last {
                try session.run(
                    "DELETE FROM relay_entries WHERE grp = $1 AND number <= $2",
                    [.integer(id), last[0]])
            }
        }
        try session.run("DELETE FROM relay_groups WHERE id = $1", [.integer(id)])
        return true
    }
}
