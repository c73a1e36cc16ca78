package config

import (
	"strings"
)

// nearest is the word most like the given one, "" if none is like it.
func nearest(word string, words []string) string {
	best, bestDistance := "", 1+max(1, min(3, len([]rune(word))/3))
	for _, w := range words {
		d := distance(plain(word), plain(w))
		if d < bestDistance {
			best, bestDistance = w, d
		}
	}
	if best != "" {
		return best
	}
	// user for username, pass for password
	for _, w := range words {
		if a, b := plain(word), plain(w); len(a) >= 3 && len(b) >= 3 && (strings.HasPrefix(b, a) || strings.HasPrefix(a, b)) {
			return w
		}
	}
	return ""
}

func plain(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "-", "_"))
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that lead from a to b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	const longest = 128 // the work is the product of the lengths
	if len(x) > longest || len(y) > longest {
		return longest
	}
	before, row := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		twoBefore := before
		before, row = row, make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(before[j+1]+1, row[j]+1, before[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], twoBefore[j-1]+1)
			}
		}
	}
	return row[len(y)]
}

// didYouMean is the hint for a word that is not among the known ones.
func didYouMean(word string, words []string) string {
	if n := nearest(word, words); n != "" {
		return "did you mean " + quote(n) + "?"
	}
	return ""
}

// Suggest is the known word most like the given one, "" if none is like it: for "did you mean" in other places.
func Suggest(word string, known []string) string { return nearest(word, known) }
