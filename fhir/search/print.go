package search

import (
	"slices"
	"strconv"
	"strings"
)

// Encode prints the query, from the parse alone: one text for one meaning, so
// that it can serve as a key too. Parse reads the same Query back, Ignored
// apart.
func (q Query) Encode() string {
	var out []string
	add := func(name, value string) { out = append(out, escapeQuery(name)+"="+escapeQuery(value)) }
	params := slices.Clone(q.Params)
	slices.SortStableFunc(params, compareParams)
	for _, p := range params {
		name := p.Definition.Name
		if p.Modifier != "" {
			name += ":" + p.Modifier
		}
		add(name, strings.Join(p.Values, ","))
	}
	for _, in := range q.Include {
		add(in.name("_include"), in.String())
	}
	for _, in := range q.RevInclude {
		add(in.name("_revinclude"), in.String())
	}
	if len(q.Sort) > 0 {
		keys := make([]string, len(q.Sort))
		for i, k := range q.Sort {
			keys[i] = k.String()
		}
		add("_sort", strings.Join(keys, ","))
	}
	if q.Count >= 0 {
		add("_count", strconv.Itoa(q.Count))
	}
	if len(q.Elements) > 0 {
		add("_elements", strings.Join(q.Elements, ","))
	}
	if q.Summary != "" {
		add("_summary", q.Summary)
	}
	if q.Total != "" {
		add("_total", q.Total)
	}
	return strings.Join(out, "&")
}

func (i Include) name(base string) string {
	if i.Iterate {
		return base + ":iterate"
	}
	return base
}

// String gives Source:param[:Target].
func (i Include) String() string {
	if i.Target == "" {
		return i.Source + ":" + i.Param
	}
	return i.Source + ":" + i.Param + ":" + i.Target
}

// String gives the key as _sort has it.
func (k SortKey) String() string {
	if k.Descending {
		return "-" + k.Name
	}
	return k.Name
}

// escapeQuery percent-encodes all but what RFC 3986 lets stand in a query and no
// reader takes for a separator.
func escapeQuery(s string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~:/,", c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hex[c>>4])
		out.WriteByte(hex[c&15])
	}
	return out.String()
}
