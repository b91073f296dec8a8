// "Did you mean": the known word that is nearest to one that nobody knows.

package enum Suggestion {
    /// The candidate with the fewest typing mistakes, if that is few enough to be meant: one in
    /// three letters, and at least one. Ties go to the first. O(candidates × letters²).
    package static func nearest(to word: String, among candidates: [String]) -> String? {
        guard word.utf8.count <= 64 else { return nil }
        let lowered = word.lowercased()
        var best: (word: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(Array(lowered), Array(candidate.lowercased()))
            let allowed = max(1, max(lowered.count, candidate.count) / 3)
            if distance <= allowed, distance < best?.distance ?? .max {
                best = (candidate, distance)
            }
        }
        // A beginning of two letters or more counts as meant, when only one word has it.
        if best == nil, lowered.count >= 2 {
            let longer = candidates.filter { $0.lowercased().hasPrefix(lowered) }
            return longer.count == 1 ? longer[0] : nil
        }
        return best?.word
    }

    /// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment;
    /// Damerau 1964).
    static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var twoBack: [Int] = []
        var previous = Array(0...right.count)
        for (row, letter) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = min(
                    previous[column + 1] + 1, current[column] + 1,
                    previous[column] + (letter == other ? 0 : 1))
                if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                    cost = min(cost, twoBack[column - 1] + 1)
                }
                current.append(cost)
            }
            twoBack = previous
            previous = current
        }
        return previous[right.count]
    }
}
