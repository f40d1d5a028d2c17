package httpfile

import (
	"strconv"
	"strings"
)

// Range is a part of a file: from From up to and with To, to the end when To is
// -1, or the last -From bytes when From is negative.
type Range struct{ From, To int64 }

// maxDigits keeps positions far within int64.
const maxDigits = 15

// parseRange reads one range of bytes; anything else, several included, is
// ignored, as §14.2 allows.
func parseRange(headers []string) *Range {
	if len(headers) != 1 {
		return nil
	}
	set, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(headers[0])), "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !dash || first == "" && last == "" {
		return nil
	}
	from, goodFrom := position(first)
	to, goodTo := position(last)
	switch {
	case first == "" && goodTo && to > 0:
		return &Range{-to, -1}
	case goodFrom && last == "":
		return &Range{from, -1}
	case goodFrom && goodTo && from <= to:
		return &Range{from, to}
	}
	return nil
}

func position(s string) (int64, bool) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return -1, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// Within gives the positions that a range means in a file of total bytes; ok is
// false when there are none.
func (s Range) Within(total int64) (Range, bool) {
	switch {
	case s.From < 0:
		s = Range{max(0, total+s.From), total - 1}
	case s.To < 0 || s.To >= total:
		s.To = total - 1
	}
	return s, total > 0 && s.From <= s.To
}

// ParseContentRange reads "bytes a-b/n" (§14.4); n may be unknown (-1).
func ParseContentRange(header string) (*Range, int64) {
	rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(header)), "bytes ")
	part, size, slash := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(part, "-")
	from, goodFrom := position(first)
	to, goodTo := position(last)
	total, goodTotal := position(size)
	if size == "*" {
		total, goodTotal = -1, true
	}
	if !ok || !slash || !dash || !goodFrom || !goodTo || !goodTotal || from > to || total >= 0 && to >= total {
		return nil, -1
	}
	return &Range{from, to}, total
}

// Answers says whether a part that the upstream gave is what was asked for and
// has the length it says.
func (s Range) Answers(asked *Range, total, length int64) bool {
	if asked == nil || length >= 0 && length != s.To-s.From+1 {
		return false
	}
	if total >= 0 {
		want, ok := asked.Within(total)
		return ok && want == s
	}
	return asked.From == s.From && (asked.To < 0 || s.To <= asked.To)
}
