package config

import (
	"slices"
	"strings"
)

// nearest gives the known key that key was probably meant to be, or "".
func nearest(key string, fields map[string]int) string {
	if len(key) > 64 {
		return ""
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	best, distance := "", 1+len(key)/3
	folded := strings.ReplaceAll(strings.ToLower(key), "-", "_")
	for _, name := range names {
		plain := strings.ReplaceAll(name, "_", "")
		n := min(edits(folded, name), edits(strings.ReplaceAll(folded, "_", ""), plain))
		if n < distance {
			best, distance = name, n
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
