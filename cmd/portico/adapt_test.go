package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// paged is an EHR whose searches come in pages of these bodies.
type paged struct{ pages []string }

var _ upstream.Reader = (*paged)(nil)

func (p *paged) page(i int) (*upstream.Answer, error) {
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(p.pages[min(i, len(p.pages)-1)]))}, nil
}

func (p *paged) Read(context.Context, string, string) (*upstream.Answer, error) { return p.page(0) }

func (p *paged) Search(context.Context, string, string) (*upstream.Answer, error) { return p.page(0) }

func (p *paged) Next(_ context.Context, url string) (*upstream.Answer, error) {
	var i int
	if _, err := fmt.Sscanf(url, "https://ehr.example.org/fhir?page=%d", &i); err != nil {
		return nil, err
	}
	return p.page(i)
}

func (p *paged) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &upstream.Capabilities{}, nil
}

func TestASearchForAPersonIsReadToItsEndOrFails(t *testing.T) {
	entry := func(id string) string { return `{"resource":{"resourceType":"Patient","id":"` + id + `"}}` }
	more := func(i int) string {
		return fmt.Sprintf(`"link":[{"relation":"next","url":"https://ehr.example.org/fhir?page=%d"}],`, i)
	}
	bundle := func(link string, entries ...string) string {
		return `{"resourceType":"Bundle",` + link + `"entry":[` + strings.Join(entries, ",") + `]}`
	}
	for name, tt := range map[string]struct {
		pages []string
		want  int // -1: an error
	}{
		"one page":                        {[]string{bundle("", entry("a"))}, 1},
		"the second hit on another page":  {[]string{bundle(more(1), entry("a")), bundle("", entry("b"))}, 2},
		"an empty last page":              {[]string{bundle(more(1), entry("a")), bundle("")}, 1},
		"more than anybody wants to read": {[]string{bundle(more(1), entry("a"), entry("b"))}, 2},
		"pages without end":               {[]string{bundle(more(1), entry("a")), bundle(more(1))}, -1},
		"an entry that cannot be read":    {[]string{bundle("", entry("a"), `{"resource":{"resourceType":"Patient","id":1}}`)}, -1},
		"a broken page":                   {[]string{bundle(more(1), entry("a")), `{"resourceType":"Bundle","entry":[`}, -1},
		"a remark of the EHR's beside it": {[]string{bundle("", entry("a"), `{"search":{"mode":"outcome"},"resource":{"resourceType":"OperationOutcome"}}`)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := lookup{map[string]upstream.Reader{"s": &paged{tt.pages}}}.Search(t.Context(), "s", "Patient", "identifier=x")
			switch {
			case tt.want < 0 && (err == nil || fault.KindOf(err) != fault.Upstream):
				t.Errorf("%d found, %v", len(found), err)
			case tt.want >= 0 && (err != nil || len(found) != tt.want):
				t.Errorf("%d found, want %d, %v", len(found), tt.want, err)
			}
		})
	}
}
