package search

import "strings"

// uriTest compares whole URIs, case and all (R4 search, 3.1.1.4.13). :below and
// :above go by whole path segments, so that http://a/b is not above
// http://a/bc.
func uriTest(modifier, v string) (test, error) {
	want := unescape(v)
	var same func(string) bool
	switch modifier {
	case "":
		same = func(s string) bool { return s == want }
	case "below":
		same = func(s string) bool { return isBelow(s, want) }
	case "above":
		same = func(s string) bool { return isBelow(want, s) }
	default:
		return nil, errModifier
	}
	return func(v value) (bool, error) { return v.node.IsString() && same(v.node.Text()), nil }, nil
}

func isBelow(s, above string) bool {
	return s == above || above != "" && strings.HasPrefix(s, strings.TrimRight(above, "/")+"/")
}
