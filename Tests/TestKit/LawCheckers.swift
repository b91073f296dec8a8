// Algebraic laws as searches for a counterexample among given elements.

/// What breaks a law, in words.
package struct LawViolation: Error, CustomStringConvertible {
    package var law: String
    package var elements: [String]

    package var description: String {
        "\(law) does not hold for: " + elements.joined(separator: " | ")
    }
}

/// The laws of a join: commutative, associative, idempotent (a semilattice).
package struct JoinLaws<Element: Equatable> {
    private let join: (Element, Element) -> Element

    package init(_ join: @escaping (Element, Element) -> Element) { self.join = join }

    /// Tries all pairs and triples. Complexity: O(n³) joins.
    package func check(_ elements: [Element]) throws {
        for a in elements {
            if join(a, a) != a { throw violation("idempotence", a) }
            for b in elements {
                let both = join(a, b)
                if both != join(b, a) { throw violation("commutativity", a, b) }
                if join(both, a) != both { throw violation("absorption", a, b) }
                for c in elements where join(both, c) != join(a, join(b, c)) {
                    throw violation("associativity", a, b, c)
                }
            }
        }
    }

    private func violation(_ law: String, _ elements: Element...) -> LawViolation {
        LawViolation(law: law, elements: elements.map { "\($0)" })
    }
}

/// The laws of a partial order, and of the join that belongs to it.
package struct OrderLaws<Element: Equatable> {
    private let isCovered: (Element, Element) -> Bool

    /// - Parameter isCovered: first ≤ second.
    package init(_ isCovered: @escaping (Element, Element) -> Bool) { self.isCovered = isCovered }

    /// Reflexive, antisymmetric, transitive.
    package func check(_ elements: [Element]) throws {
        for a in elements {
            if !isCovered(a, a) { throw LawViolation(law: "reflexivity", elements: ["\(a)"]) }
            for b in elements where isCovered(a, b) {
                if a != b, isCovered(b, a) {
                    throw LawViolation(law: "antisymmetry", elements: ["\(a)", "\(b)"])
                }
                for c in elements where isCovered(b, c) && !isCovered(a, c) {
                    throw LawViolation(law: "transitivity", elements: ["\(a)", "\(b)", "\(c)"])
                }
            }
        }
    }

    /// `join` covers both, and everything that covers both covers it.
    package func checkLeastUpperBound(
        _ elements: [Element], _ join: (Element, Element) -> Element
    ) throws {
        for a in elements {
            for b in elements {
                let both = join(a, b)
                if !isCovered(a, both) || !isCovered(b, both) {
                    throw LawViolation(law: "upper bound", elements: ["\(a)", "\(b)"])
                }
                for c in elements where isCovered(a, c) && isCovered(b, c) && !isCovered(both, c) {
                    throw LawViolation(
                        law: "least upper bound", elements: ["\(a)", "\(b)", "\(c)"])
                }
            }
        }
    }

    /// Any two elements compare, and compare one way.
    package func checkTotal(_ elements: [Element]) throws {
        for a in elements {
            for b in elements where isCovered(a, b) == isCovered(b, a) && a != b {
                throw LawViolation(law: "totality", elements: ["\(a)", "\(b)"])
            }
        }
    }
}
