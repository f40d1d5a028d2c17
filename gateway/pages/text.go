package pages

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names come from apps, providers and records. html/template escapes them; what
// it cannot know is that a name may hold marks that turn the words around it
// (U+202E), hide parts or push the page away with length.
const (
	nameLimit = 80
	textLimit = 600
)

// plain makes a name fit for one line.
func plain(s string) string { return clip(s, nameLimit) }

// plainLong makes a sentence fit for a paragraph.
func plainLong(s string) string { return clip(s, textLimit) }

func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(visible, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	r := []rune(s)
	return strings.TrimSpace(string(r[:limit-1])) + "…"
}

// visible drops control and format characters, among them every bidirectional
// override, and the marks that only serve to pile up. Zero-width joiners stay:
// several scripts need them to spell.
func visible(r rune) rune {
	switch {
	case r == '\u200c' || r == '\u200d':
		return r
	case unicode.IsSpace(r):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Me):
		return -1
	case r == '\u2800' || r == '\u3164' || r == '\u115f' || r == '\u1160' || r == '\uffa0': // blank, yet no space
		return -1
	}
	return r
}

// appName is the name of an app; one without a name must still be spoken of.
func appName(s string) string {
	if s = plain(s); s == "" {
		return "An app without a name"
	}
	return s
}

// site is the host of an app's home page, as text: a link would lead away from
// a decision that is not made yet. Anything but http(s) is not shown.
func site(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	return plain(u.Host)
}

// ownPath lets through a path on this server alone: "//host" and "/\\host" lead
// elsewhere, whatever they look like.
func ownPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.Contains(s, `\`) {
		return ""
	}
	return u.String()
}

// initial is the letter in the circle before a name.
func initial(name string) string {
	r, _ := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r))
}
