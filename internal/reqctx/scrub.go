package reqctx

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxField = 200
	maxError = 500
	maxStack = 8192
)

// sensitive finds the parts of an error text that may carry what a log must not
// hold. Errors of the standard library and of drivers quote their input: a
// url.Error holds the whole upstream URL, a JSON error the offending literal.
// The alternatives are tried in this order; the first group, addresses, stays.
var sensitive = regexp.MustCompile(strings.Join([]string{
	`(?P<address>\b(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b|\blocalhost:\d{1,5}\b|\b(?:[a-z0-9-]+\.)+[a-z]{2,}:\d{1,5}\b)`,
	`(?P<url>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>` + "`" + `]+)`,
	`(?P<email>[^\s"'<>@:,;]+@[^\s"'<>@:,;]+)`,
	`(?P<auth>\b(?i:bearer|basic)\s+\S+)`,
	`(?P<row>(?:\)=|\bcontains )\([^)]*\)?)`, // what PostgreSQL tells of a row
	`(?P<quoted>"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)+'|` + "`[^`]*`?" + `)`,
	`(?P<pair>\b[A-Za-z_][A-Za-z0-9_.:-]*=[^\s,;)]+)`,
	`(?P<reference>\b[A-Z][A-Za-z]{2,40}/[A-Za-z0-9.-]{1,64})`,
	`(?P<date>\b\d{4}-\d{2}(?:-\d{2})?(?:T[0-9:.+Z-]+)?)`,
	`(?P<token>[A-Za-z0-9_~+/=-]*\d[A-Za-z0-9_~+/=-]{5,}|[A-Za-z0-9_~+/=-]{5,}\d[A-Za-z0-9_~+/=-]*|[A-Za-z0-9_~+/=]{32,}|\d{4,})`,
}, "|"))

// Scrub takes out of an internal error text what could be patient data or a
// secret: URLs beyond their host, quoted text, values, references, dates, long
// numbers and tokens. It is the second line of defence; the first is that
// errors are written without such things.
func Scrub(text string) string {
	// A bound before the expression, so that a hostile text costs little; what
	// is cut away is not needed, since scrubbing makes texts shorter, mostly.
	text = clean(text, 4*maxError)
	names := sensitive.SubexpNames()
	var out strings.Builder
	last := 0
	for _, m := range sensitive.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(text[last:m[0]])
		last = m[1]
		for g := 1; g < len(names); g++ {
			if m[2*g] >= 0 {
				out.WriteString(replacement(names[g], text[m[2*g]:m[2*g+1]]))
				break
			}
		}
	}
	out.WriteString(text[last:])
	return clean(out.String(), maxError)
}

func replacement(kind, text string) string {
	switch kind {
	case "address":
		return text
	case "url":
		scheme, rest, _ := strings.Cut(text, "://")
		host := rest
		if i := strings.IndexAny(host, "/?#"); i >= 0 {
			host = host[:i]
		}
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			host = host[i+1:]
		}
		return scheme + "://" + host + "/…"
	case "row":
		return strings.TrimRight(text[:strings.Index(text, "(")], " ") + "(…)"
	case "quoted":
		return `"…"`
	case "pair":
		name, _, _ := strings.Cut(text, "=")
		return name + "=…"
	case "reference":
		typ, _, _ := strings.Cut(text, "/")
		return typ + "/{id}"
	default:
		return "{" + kind + "}"
	}
}

// clean makes text one printable line of at most limit bytes.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
