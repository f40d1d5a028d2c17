package quirks_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// unlinked is a server with so many Observations whose pages have no links. most
// is how many it gives at once, whatever is asked for.
func unlinked(t *testing.T, have, most int, total func(have, given int) string) (fhir.Base, *int) {
	t.Helper()
	asked := new(int)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		offset, _ := strconv.Atoi(r.URL.Query().Get("_offset"))
		count, _ := strconv.Atoi(r.URL.Query().Get("_count"))
		var entries []string
		for i := offset; i < min(offset+min(count, most), have); i++ {
			entries = append(entries, fmt.Sprintf(`{"resource":{"resourceType":"Observation","id":"o%03d","subject":{"reference":"Patient/p"}}}`, i))
		}
		w.Header().Set("Content-Type", fhir.JSON)
		_, _ = fmt.Fprintf(w, `{"resourceType":"Bundle","type":"searchset"%s,"entry":[%s]}`, total(have, len(entries)), strings.Join(entries, ","))
	}))
	t.Cleanup(up.Close)
	base, err := fhir.ParseBase(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	return base, asked
}

func TestPagesWithoutLinksAreAskedForByOffset(t *testing.T) {
	for name, total := range map[string]func(have, given int) string{
		"a total":                      func(have, _ int) string { return fmt.Sprintf(`,"total":%d`, have) },
		"no total":                     func(int, int) string { return "" },
		"a total that counts the page": func(_, given int) string { return fmt.Sprintf(`,"total":%d`, given) },
	} {
		for _, have := range []int{0, 9, 10, 11, 35} {
			base, asked := unlinked(t, have, 10, total)
			r := through(t, base, profile(t, "search: {max_count: 10}\nnext: {offset: _offset}"))
			got := follow(t, r, "patient=Patient/p&_count=25")
			if len(got) != have || !slices.IsSorted(got) || len(slices.Compact(got)) != have {
				t.Errorf("%s: %d of %d", name, len(got), have)
			}
			if *asked > have/10+4 {
				t.Errorf("%s: %d questions for %d", name, *asked, have)
			}
		}
	}
	base, _ := unlinked(t, 35, 7, func(have, _ int) string { return fmt.Sprintf(`,"total":%d`, have) })
	r := through(t, base, profile(t, "next: {offset: _offset}"))
	if got := follow(t, r, "patient=Patient/p&_count=25"); len(got) != 35 {
		t.Errorf("a server that gives fewer than asked for: %d of 35", len(got))
	}
}

// follow gives the ids of all pages.
func follow(t *testing.T, r upstream.Reader, query string) (out []string) {
	t.Helper()
	answer, err := r.Search(t.Context(), "Observation", query)
	for {
		if err != nil {
			t.Fatal(err)
		}
		page := fhir.NewBundleReader(answer.Body, 1<<20)
		for {
			e, err := page.Next()
			if err != nil {
				break
			}
			out = append(out, e.Resource.ID())
		}
		_ = answer.Body.Close()
		if page.NextLink() == "" {
			return out
		}
		answer, err = r.Next(t.Context(), page.NextLink())
	}
}
