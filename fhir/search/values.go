package search

import "strings"

// A value may hold the separators , $ | and \ itself, escaped by \ (R4 search,
// 3.1.1.4.17). Values stay escaped until they are compared.

// split cuts s at every unescaped sep.
func split(s string, sep byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// wellEscaped says whether every \ stands before one of the separators.
func wellEscaped(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		if i == len(s) || strings.IndexByte(`,$|\`, s[i]) < 0 {
			return false
		}
	}
	return true
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

// Escape writes s so that a value holding it means just s.
func Escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `$`, `\$`, `|`, `\|`).Replace(s)
}

// prefix is a comparison (R4 search, 3.1.1.4.5).
type prefix string

const (
	eq prefix = "eq"
	ne prefix = "ne"
	gt prefix = "gt"
	lt prefix = "lt"
	ge prefix = "ge"
	le prefix = "le"
	sa prefix = "sa"
	eb prefix = "eb"
	ap prefix = "ap"
)

func cutPrefix(s string) (prefix, string) {
	if len(s) > 2 {
		switch p := prefix(s[:2]); p {
		case eq, ne, gt, lt, ge, le, sa, eb, ap:
			return p, s[2:]
		}
	}
	return eq, s
}
