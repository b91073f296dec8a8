// SQL values as JSON, for people and scripts. What JSON cannot say exactly is wrapped in an object
// with one member, so that nothing is lost and nothing is mistaken for something else.

package import Values

extension JSONValue {
    /// NULL, integers, finite reals and valid UTF-8 text as themselves; otherwise
    /// `{"$blob":"hex"}`, `{"$text":"hex"}` (not UTF-8), `{"$real":"Infinity"}`.
    package init(_ value: Values.Value) {
        switch value {
        case .null: self = .null
        case .integer(let number): self = .int(number)
        case .real(let number) where number.isFinite: self = .double(number)
        case .real(let number):
            let name = number.isNaN ? "NaN" : number > 0 ? "Infinity" : "-Infinity"
            self = ["$real": .string(name)]
        case .text(let bytes):
            if let text = String(validating: bytes, as: UTF8.self) {
                self = .string(text)
            } else {
                self = ["$text": .string(Hexadecimal.text(bytes))]
            }
        case .blob(let bytes): self = ["$blob": .string(Hexadecimal.text(bytes))]
        }
    }
}
