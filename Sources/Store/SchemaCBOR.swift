// A table's structure as CBOR: how it is kept in the bookkeeping and how peers exchange it.

package import Codec

extension CBOR {
    fileprivate init(_ text: String?) { self = text.map { .text($0) } ?? .null }

    fileprivate func required(_ key: String) throws(CodecError) -> CBOR {
        guard let value = self[key] else {
            throw CodecError(.malformed, "a table's structure lacks \(key)")
        }
        return value
    }

    fileprivate func text(_ key: String) throws(CodecError) -> String {
        guard let value = try required(key).textValue else {
            throw CodecError(.malformed, "\(key) of a table's structure is not text")
        }
        return value
    }

    fileprivate func flag(_ key: String) -> Bool { self[key]?.boolValue ?? false }

    fileprivate func items(_ key: String) throws(CodecError) -> [CBOR] {
        guard let items = try required(key).arrayValue else {
            throw CodecError(.malformed, "\(key) of a table's structure is not a list")
        }
        return items
    }

    fileprivate func texts(_ key: String) throws(CodecError) -> [String] {
        try items(key).map { item throws(CodecError) in
            guard let text = item.textValue else {
                throw CodecError(.malformed, "\(key) of a table's structure is not a list of texts")
            }
            return text
        }
    }

    /// A map without its absent and false entries.
    fileprivate static func record(_ pairs: [(String, CBOR)]) -> CBOR {
        var map: [CBOR: CBOR] = [:]
        for (key, value) in pairs where value != .null && value != .bool(false) {
            map[.text(key)] = value
        }
        return .map(map)
    }
}

extension TableSchema {
    package var cbor: CBOR {
        .record([
            ("name", .text(name)), ("columns", .array(columns.map(\.cbor))),
            ("withoutRowID", .bool(isWithoutRowID)), ("strict", .bool(isStrict)),
            ("autoincrement", .bool(isAutoincrement)), ("rowIDAlias", .bool(hasRowIDAlias)),
            ("keyConflict", CBOR(primaryKeyConflict?.rawValue)),
            ("indexes", .array(indexes.map(\.cbor))),
            ("foreignKeys", .array(foreignKeys.map(\.cbor))),
            ("checks", .array(checks.map { .text($0) })),
        ])
    }

    /// - Throws: ``CodecError`` when the structure is not of this form; the content is checked when
    ///   the table is made.
    package init(cbor: CBOR) throws(CodecError) {
        let isStrict = cbor.flag("strict")
        self.init(
            name: try cbor.text("name"),
            columns: try cbor.items("columns").map { item throws(CodecError) in
                try ColumnSchema(cbor: item, isInStrictTable: isStrict)
            },
            isWithoutRowID: cbor.flag("withoutRowID"), isStrict: isStrict,
            isAutoincrement: cbor.flag("autoincrement"), hasRowIDAlias: cbor.flag("rowIDAlias"),
            primaryKeyConflict: cbor["keyConflict"]?.textValue.flatMap(ConflictClause.init),
            indexes: try cbor.items("indexes").map { item throws(CodecError) in
                try IndexSchema(cbor: item)
            },
            foreignKeys: try cbor.items("foreignKeys").map { item throws(CodecError) in
                try ForeignKey(cbor: item)
            }, checks: try cbor.texts("checks"))
    }
}

extension ColumnSchema {
    fileprivate var cbor: CBOR {
        .record([
            ("name", .text(name)), ("type", .text(declaredType)), ("notNull", .bool(isNotNull)),
            ("notNullConflict", CBOR(notNullConflict?.rawValue)), ("default", CBOR(defaultSQL)),
            ("collation", .text(collation)), ("key", .unsigned(UInt64(primaryKeyPosition))),
            ("generated", CBOR(generatedSQL)), ("stored", .bool(isStored)),
        ])
    }

    fileprivate init(cbor: CBOR, isInStrictTable: Bool) throws(CodecError) {
        guard let position = try cbor.required("key").unsignedValue, position <= 2_000 else {
            throw CodecError(.malformed, "a column's place in the key is out of range")
        }
        self.init(
            name: try cbor.text("name"), declaredType: try cbor.text("type"),
            isNotNull: cbor.flag("notNull"),
            notNullConflict: cbor["notNullConflict"]?.textValue.flatMap(ConflictClause.init),
            defaultSQL: cbor["default"]?.textValue, collation: try cbor.text("collation"),
            primaryKeyPosition: Int(position), generatedSQL: cbor["generated"]?.textValue,
            isStored: cbor.flag("stored"), isInStrictTable: isInStrictTable)
    }
}

extension IndexSchema {
    fileprivate var cbor: CBOR {
        .record([
            ("name", CBOR(name)), ("unique", .bool(isUnique)), ("partial", CBOR(partialSQL)),
            ("origin", .text(origin.rawValue)), ("conflict", CBOR(conflict?.rawValue)),
            (
                "columns",
                .array(
                    columns.map {
                        .record([
                            ("name", CBOR($0.name)), ("expression", CBOR($0.expressionSQL)),
                            ("collation", .text($0.collation)),
                            ("descending", .bool($0.isDescending)),
                        ])
                    })
            ),
        ])
    }

    fileprivate init(cbor: CBOR) throws(CodecError) {
        guard let origin = Origin(rawValue: try cbor.text("origin")) else {
            throw CodecError(.malformed, "an index has an unknown origin")
        }
        self.init(
            name: cbor["name"]?.textValue,
            columns: try cbor.items("columns").map { item throws(CodecError) in
                Column(
                    name: item["name"]?.textValue, expressionSQL: item["expression"]?.textValue,
                    collation: try item.text("collation"), isDescending: item.flag("descending"))
            }, isUnique: cbor.flag("unique"), partialSQL: cbor["partial"]?.textValue,
            origin: origin, conflict: cbor["conflict"]?.textValue.flatMap(ConflictClause.init))
    }
}

extension ForeignKey {
    fileprivate var cbor: CBOR {
        .record([
            ("columns", .array(columns.map { .text($0) })), ("parent", .text(parentTable)),
            ("parentColumns", .array(parentColumns.map { .text($0) })),
            ("onDelete", .text(onDelete.rawValue)), ("onUpdate", .text(onUpdate.rawValue)),
            ("deferred", .bool(isDeferred)),
        ])
    }

    fileprivate init(cbor: CBOR) throws(CodecError) {
        guard let onDelete = Action(rawValue: try cbor.text("onDelete")),
            let onUpdate = Action(rawValue: try cbor.text("onUpdate"))
        else { throw CodecError(.malformed, "a foreign key has an unknown action") }
        self.init(
            columns: try cbor.texts("columns"), parentTable: try cbor.text("parent"),
            parentColumns: try cbor.texts("parentColumns"), onDelete: onDelete,
            onUpdate: onUpdate, isDeferred: cbor.flag("deferred"))
    }
}
