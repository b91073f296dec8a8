// The JSON reader and writer: exact on good input, precise and unharmed on bad.

import Node
import TestKit
import Testing
import Values

@Suite struct ControlJSONTests {
    static let samples: [(String, JSONValue)] = [
        ("null", .null), (" true ", true), ("false", false), ("0", 0), ("-0", 0),
        ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
        ("1.0", .double(1)), ("-0.0", .double(-0.0)), ("1e3", .double(1000)),
        ("5E-324", .double(.leastNonzeroMagnitude)), ("[]", []), ("[1,[2]]", [1, [2]]),
        ("{}", [:]), ("{\"a\":{\"b\":null}}", ["a": ["b": .null]]),
        ("\"\\u00e9\\ud83d\\udc26\\n\\/\"", "é\u{1F426}\n/"), ("\"\\u0000\"", "\0"),
    ]

    @Test(arguments: samples)
    func readsWhatIsJSON(text: String, value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
    }

    @Test(arguments: [
        ("", "line 1, column 1: the text ends where a value should be"),
        ("[1,]", "column 4: expected a value"), ("[1 2]", "column 4: expected a comma or ]"),
        ("{\"a\":1,}", "column 8: expected a key between double quotes"),
        ("{a:1}", "expected a key between double quotes"), ("'a'", "expected a value"),
        ("{\"a\":1,\n \"a\":2}", "line 2, column 2: the key \"a\" stands here twice"),
        ("01", "does not start with 0"), ("-", "expected a value"), ("1.", "expected a value"),
        (".5", "expected a value"), ("+1", "expected a value"), ("1e", "digits of an exponent"),
        ("1e999", "out of range"), ("9223372036854775808", "does not fit in 64 bits"),
        ("NaN", "expected a value"), ("nul", "this is not a value"),
        ("\"a", "no closing quote"), ("\"\\x41\"", "unknown escape"),
        ("\"\\ud800\"", "half of a surrogate pair"), ("\"\\udc00\"", "half of a surrogate pair"),
        ("\"\\ud800\\u0041\"", "half of a surrogate pair"), ("\"a\nb\"", "control character"),
        ("1 1", "something follows the value"), ("// a\n1", "expected a value"),
    ])
    func namesWhatIsNotJSON(text: String, words: String) {
        let failure = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        #expect(failure?.description.contains(words) == true, "\(failure as JSONError?)")
    }

    @Test func refusesTextThatIsNotUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xff, 0x22]) }
    }

    @Test func limitsSizeDepthAndValues() throws {
        let limits = JSONLimits(bytesMax: 1000, depthMax: 8, valuesMax: 20)
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try JSONValue(parsing: nested(8), limits: limits) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(9), limits: limits) }
        // A million open brackets must not reach the end of the stack.
        #expect(throws: JSONError.self) {
            try JSONValue(parsing: [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000))
        }
        let many = "[" + repeatElement("1", count: 20).joined(separator: ",") + "]"
        #expect(throws: JSONError.self) { try JSONValue(parsing: many, limits: limits) }
        let long = "\"" + String(repeating: "x", count: 1000) + "\""
        #expect(throws: JSONError.self) { try JSONValue(parsing: long, limits: limits) }
    }

    @Test func whatIsWrittenReadsBackTheSame() throws {
        var random = SeededGenerator(seed: 0x5EED_0001)
        for round in 0..<2000 {
            let value = Self.value(&random, depth: 4)
            let text = value.encoded
            #expect(!text.contains(0x0a))
            #expect(try JSONValue(parsing: text) == value, "seed \(random.seed), round \(round)")
            #expect(try JSONValue(parsing: text).encoded == text)
        }
    }

    @Test func anotherReaderAgrees() throws {
        var random = SeededGenerator(seed: 0x5EED_0002)
        let values = (0..<200).map { _ in Self.value(&random, depth: 3) }
        let script = """
            import json, sys
            for line in sys.stdin.buffer:
                print(json.dumps(json.loads(line)))
            """
        let python = try ForeignProcess("python3", ["-c", script])
        for (index, value) in values.enumerated() {
            python.write(value.encoded + [0x0a])
            let line = try #require(python.line())
            #expect(try JSONValue(parsing: line) == value, "seed \(random.seed), value \(index)")
        }
        #expect(python.exitCode() == 0)
    }

    @Test func everyTruncationIsRefused() throws {
        var random = SeededGenerator(seed: 0x5EED_0003)
        for _ in 0..<50 {
            let text = JSONValue.object(["a": Self.value(&random, depth: 3), "b": 1]).encoded
            for end in 0..<text.count {
                #expect(throws: JSONError.self, "seed \(random.seed), cut at \(end)") {
                    try JSONValue(parsing: Array(text[..<end]))
                }
            }
        }
    }

    @Test func everyDamageIsAnErrorOrAValue() throws {
        var random = SeededGenerator(seed: 0x5EED_0004)
        for _ in 0..<3000 {
            var text = JSONValue.object(["a": Self.value(&random, depth: 3)]).encoded
            for _ in 0...random.below(3) {
                text[random.below(text.count)] = UInt8(random.below(256))
            }
            guard let value = try? JSONValue(parsing: text) else { continue }
            #expect(try JSONValue(parsing: value.encoded) == value, "seed \(random.seed)")
        }
    }

    @Test func sqlValuesLoseNothing() {
        let expected: [(Value, String)] = [
            (.null, "null"), (.integer(.min), "-9223372036854775808"), (.real(1), "1.0"),
            (.real(-.infinity), "{\"$real\":\"-Infinity\"}"), (.string("a\"b"), "\"a\\\"b\""),
            (.text([0xff, 0x61]), "{\"$text\":\"ff61\"}"),
            (.blob([0, 255]), "{\"$blob\":\"00ff\"}"),
        ]
        for (value, text) in expected { #expect(JSONValue(value).text == text) }
    }

    @Test func objectsKeepTheOrderOfTheirKeys() {
        var object: JSONObject = ["b": 1, "a": 2]
        object["b"] = 3
        object["c"] = 4
        object["a"] = nil
        #expect(JSONValue.object(object).text == "{\"b\":3,\"c\":4}")
    }

    /// A random value; texts hold every kind of character, numbers every kind of bits.
    static func value(_ random: inout SeededGenerator, depth: Int) -> JSONValue {
        switch random.below(depth > 0 ? 8 : 6) {
        case 0: return .null
        case 1: return .bool(random.chance(1, in: 2))
        case 2: return .int(Int64(bitPattern: random.next()))
        case 3: return .int(Int64(random.below(1000)) - 500)
        case 4:
            let number = Double(bitPattern: random.next())
            return .double(number.isFinite ? number : -0.0)
        case 5: return .string(text(&random))
        case 6: return .array((0..<random.below(4)).map { _ in value(&random, depth: depth - 1) })
        default:
            var object = JSONObject()
            for _ in 0..<random.below(4) {
                object[text(&random)] = value(&random, depth: depth - 1)
            }
            return .object(object)
        }
    }

    private static func text(_ random: inout SeededGenerator) -> String {
        var text = ""
        for _ in 0..<random.below(8) {
            let bound = [0x80, 0x20, 0x800, 0x11_0000][random.below(4)]
            if let scalar = Unicode.Scalar(UInt32(random.below(bound))) {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
