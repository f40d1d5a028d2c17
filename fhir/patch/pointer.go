package patch

import (
	"slices"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// pointer is a parsed JSON Pointer (RFC 6901); empty for the whole document.
type pointer []string

func parsePointer(s string) (pointer, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, malformed("has a path that does not begin with a slash")
	}
	parts := strings.Split(s[1:], "/")
	for i, p := range parts {
		for at := 0; at < len(p); at++ {
			if p[at] == '~' && (at+1 == len(p) || p[at+1] != '0' && p[at+1] != '1') {
				return nil, malformed("has a path with a ~ that is neither ~0 nor ~1")
			}
		}
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	return parts, nil
}

// above says whether p names something that holds what q names.
func (p pointer) above(q pointer) bool {
	return len(p) < len(q) && slices.Equal(p, q[:len(p)])
}

func (p pointer) same(q pointer) bool { return slices.Equal(p, q) }

// find gives the value at a pointer.
func find(root fhir.Node, p pointer) (fhir.Node, error) {
	at := root
	for _, part := range p {
		switch {
		case at.IsObject():
			at = at.Get(part)
		case at.IsArray():
			items := slices.Collect(at.Children())
			i, err := index(part, len(items)-1)
			if err != nil {
				return fhir.Node{}, err
			}
			at = items[i]
		default:
			at = fhir.Node{}
		}
		if !at.Exists() {
			return fhir.Node{}, unfit("names a place that is not there")
		}
	}
	return at, nil
}

// index reads an array index (RFC 6901 §4): no sign, no leading zero.
func index(s string, most int) (int, error) {
	if s == "" || len(s) > 1 && s[0] == '0' || strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' }) >= 0 {
		return 0, unfit("names a place in an array by something that is no index")
	}
	i, err := strconv.Atoi(s)
	if err != nil || i > most {
		return 0, unfit("names a place beyond the end of an array")
	}
	return i, nil
}

// add follows RFC 6902 §4.1: a member is set, an item is put in before another.
func add(document []byte, root fhir.Node, p pointer, value []byte) ([]byte, error) {
	if len(p) == 0 {
		return slices.Clone(value), nil
	}
	last := len(p) - 1
	holder, err := find(root, p[:last])
	switch {
	case err != nil:
		return nil, err
	case holder.IsObject():
		return splice(document, put(holder, p[last], value)), nil
	case !holder.IsArray():
		return nil, unfit("adds to something that is neither object nor array")
	}
	items := slices.Collect(holder.Children())
	at := len(items)
	if p[last] != "-" {
		if at, err = index(p[last], len(items)); err != nil {
			return nil, err
		}
	}
	if at < len(items) {
		start, _ := items[at].Span()
		return splice(document, fhir.Edit{Start: start, End: start, With: append(slices.Clone(value), ',')}), nil
	}
	return splice(document, behind(holder, items, value)), nil
}

func remove(document []byte, root fhir.Node, p pointer) ([]byte, error) {
	if len(p) == 0 {
		return nil, unfit("removes the whole document")
	}
	last := len(p) - 1
	holder, err := find(root, p[:last])
	if err != nil {
		return nil, err
	}
	at, err := find(holder, p[last:])
	if err != nil {
		return nil, err
	}
	return splice(document, without(holder, at)), nil
}
