package fhir

import (
	"slices"
)

// Edit replaces the bytes [Start, End) of a document.
type Edit struct {
	Start, End int
	With       []byte
}

// Splice writes the bytes [start, end) of raw with the edits applied and
// everything else untouched. Edits outside the range are not applied; edits may
// come in any order but must not overlap: of two that do, the one that starts
// first wins and the other is dropped, so that a masked place stays masked
// whatever else wanted to change inside it.
func Splice(raw []byte, start, end int, edits []Edit) []byte {
	if len(edits) == 0 {
		return raw[start:end]
	}
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	size := end - start
	for _, e := range edits {
		size += len(e.With)
	}
	out := make([]byte, 0, size)
	at := start
	for _, e := range edits {
		if e.Start < at || e.End > end || e.End < e.Start {
			continue
		}
		out = append(out, raw[at:e.Start]...)
		out = append(out, e.With...)
		at = e.End
	}
	return append(out, raw[at:end]...)
}
