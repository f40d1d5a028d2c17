package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file, with what to do about it.
type Problem struct {
	File   string
	Line   int
	Column int
	Key    string // "sources[0].fhir_base", "" for the file as a whole
	Text   string
}

// String gives the problem the way compilers do, so that editors jump to it.
func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.Key != "" {
		return where + ": " + p.Key + ": " + p.Text
	}
	return where + ": " + p.Text
}

// Error is every problem of a file at once, in the order of the file.
type Error struct{ Problems []Problem }

// Error gives one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// position is a place in the file; the zero value is no place.
type position struct{ line, column int }

// report collects problems. A key that is broken is reported once: what follows
// from it says nothing new.
type report struct {
	file     string
	problems []Problem
	at       map[string]position // where each key's value stands
	broken   map[string]bool
	more     Checks
}

func newReport(file string) *report {
	return &report{file: file, at: map[string]position{}, broken: map[string]bool{}}
}

// addAt notes a problem at a place.
func (r *report) addAt(pos position, key, format string, args ...any) {
	if key != "" {
		if r.broken[key] {
			return
		}
		r.broken[key] = true
	}
	r.problems = append(r.problems, Problem{
		File: r.file, Line: pos.line, Column: pos.column, Key: key, Text: fmt.Sprintf(format, args...),
	})
}

// add notes a problem at the place of key, or of the nearest section around it
// that is in the file. What lies below a broken key is not judged.
func (r *report) add(key, format string, args ...any) {
	for above := key; above != ""; above = parent(above) {
		if r.broken[above] {
			return
		}
	}
	r.addAt(r.place(key), key, format, args...)
}

// place gives where key stands, or the nearest section around it.
func (r *report) place(key string) position {
	for at := key; ; at = parent(at) {
		if pos, ok := r.at[at]; ok {
			return pos
		}
		if at == "" {
			return position{line: 1, column: 1}
		}
	}
}

// parent gives the key around key: "a[0].b" -> "a[0]" -> "a" -> "".
func parent(key string) string {
	i := strings.LastIndexAny(key, ".[")
	if i < 0 {
		return ""
	}
	return key[:i]
}

// err gives all problems, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return &Error{Problems: r.problems}
}
