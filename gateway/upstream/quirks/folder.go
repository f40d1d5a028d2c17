package quirks

import (
	"context"
	"io"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/portico-fhir/portico/fhir"
)

// jsonIndex reads a folder's index as nginx writes it (autoindex_format json).
func jsonIndex(raw []byte) (names []string, known bool) {
	root, err := fhir.ParseNode(raw)
	if err != nil || !root.IsArray() {
		return nil, false
	}
	for item := range root.Items() {
		if item.Get("type").Text() == "file" && fileName(item.Get("name").Text()) {
			names = append(names, item.Get("name").Text())
		}
	}
	return names, true
}

var (
	hrefs  = regexp.MustCompile(`(?i)<a\s[^>]*href\s*=\s*["']([^"'>]{1,300})["']`)
	titled = regexp.MustCompile(`(?i)<(?:title|h1)>\s*(?:index of|directory listing)`)
	// Go's http.FileServer gives a list without a word.
	listed = regexp.MustCompile(`(?i)^\s*(?:<!doctype html>\s*)?(?:<meta name="viewport"[^>]*>\s*)?<pre>\s*(?:</pre>|<a href=)`)
)

// htmlIndex reads a folder's index as a page, as file servers write it. A page
// that does not say that it is one, of a sign-in for instance, is none.
func htmlIndex(page string) (names []string, known bool) {
	if !titled.MatchString(page) && !listed.MatchString(page) {
		return nil, false
	}
	seen := map[string]bool{}
	for _, m := range hrefs.FindAllStringSubmatch(page, -1) {
		name, err := url.PathUnescape(strings.TrimPrefix(m[1], "./"))
		if err == nil && fileName(name) && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		if len(names) > maxNames { // whoever asks refuses so many
			break
		}
	}
	return names, true
}

// fileName says whether a name is that of a file with one resource: an id, with
// .json or without.
func fileName(name string) bool {
	return !strings.HasPrefix(name, ".") && fhir.ValidID(strings.TrimSuffix(name, ".json"))
}

// folder reads the files of a folder, a few at once, in order.
func (r *Reader) folder(ctx context.Context, at string, names []string) *source {
	var ready []fhir.Entry
	return &source{url: at, link: noLink, total: noTotal, close: func() {}, next: func() (fhir.Entry, error) {
		for len(ready) == 0 {
			if len(names) == 0 {
				return fhir.Entry{}, io.EOF
			}
			n := min(together, len(names))
			var err error
			if ready, err = r.files(ctx, at, names[:n]); err != nil {
				return fhir.Entry{}, err
			}
			names = names[n:]
		}
		e := ready[0]
		ready = ready[1:]
		return e, nil
	}}
}

func (r *Reader) files(ctx context.Context, at string, names []string) ([]fhir.Entry, error) {
	list := make([]fhir.Entry, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() error {
			answer, err := r.up.Next(ctx, at+url.PathEscape(name))
			if elsewhere(err) { // gone meanwhile, or no JSON
				return nil
			}
			if err != nil {
				return err
			}
			list[i], err = whole(answer)
			return err
		})
	}
	return list, group.Wait()
}
