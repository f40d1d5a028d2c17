package probe

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxEntry = 32 << 20
	maxPages = 60 // of one search
)

func readOne(ctx context.Context, up upstream.Reader, typ, id string) (*fhir.Resource, error) {
	answer, err := up.Read(ctx, typ, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxEntry))
	if err != nil {
		return nil, fault.New(fault.Upstream, "The record system gave an unusable answer.")
	}
	r, err := fhir.ParseResource(raw)
	if err == nil && (r.Type() != typ || r.ID() != id) {
		err = errors.New("probe: another resource came")
	}
	return r, err
}

// page is what one page of an answer says.
type page struct {
	matches  []*fhir.Resource
	includes []*fhir.Resource
	next     string
	total    int  // -1 when nobody says
	plain    bool // every entry has a search.mode
}

func read(answer *upstream.Answer, typ string) (page, error) {
	defer func() { _ = answer.Body.Close() }()
	p := page{plain: true}
	var said error
	reader := fhir.NewBundleReader(answer.Body, maxEntry)
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			p.next, p.total = reader.NextLink(), reader.Total()
			if len(p.matches)+len(p.includes) > 0 {
				said = nil
			}
			return p, said
		}
		switch {
		case err != nil:
			return p, err
		case e.Resource == nil || e.Mode == "outcome" || e.Resource.Type() == "OperationOutcome":
			said = cmp.Or(said, upstream.Refusal(e.Resource))
		case e.Mode == "include" || e.Resource.Type() != typ:
			p.includes = append(p.includes, e.Resource)
		default:
			p.plain = p.plain && e.Mode == "match"
			p.matches = append(p.matches, e.Resource)
		}
	}
}

// first asks for the first page.
func (r *run) first(typ, query string) (page, error) {
	answer, err := r.up.Search(r.ctx, typ, query)
	if err != nil {
		return page{}, err
	}
	return read(answer, typ)
}

// all asks for all pages through a reader.
func (r *run) all(up upstream.Reader, typ, query string) (page, error) {
	var whole page
	answer, err := up.Search(r.ctx, typ, query)
	for range maxPages {
		if err != nil {
			return whole, err
		}
		p, err2 := read(answer, typ)
		if err2 != nil {
			return whole, err2
		}
		whole.matches = append(whole.matches, p.matches...)
		whole.includes = append(whole.includes, p.includes...)
		if p.next == "" {
			return whole, nil
		}
		answer, err = up.Next(r.ctx, p.next)
	}
	return whole, nil
}

// refused says that the EHR does not take a question; anything else that goes
// wrong says nothing about the question.
func refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Unsupported, fault.NotFound, fault.MethodNotAllowed, fault.Upstream:
		return err != nil
	}
	return false
}

// broken gives errors that end a run: the EHR is away.
func broken(err error) error {
	if err == nil || refused(err) {
		return nil
	}
	return err
}

func ids(list []*fhir.Resource) []string {
	var out []string
	for _, r := range list {
		out = append(out, r.Type()+"/"+r.ID())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// has says whether an answer holds all that it should.
func has(got []*fhir.Resource, want []string) bool {
	names := ids(got)
	return !slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(names, name) })
}

// expected gives what a search should find among resources.
func (r *run) expected(typ string, params []search.Param, among []*fhir.Resource) []string {
	filter, err := (search.Matcher{Base: r.o.Base, Now: r.o.Now}).Compile(search.Query{Type: typ, Params: params})
	if err != nil {
		return nil
	}
	var out []*fhir.Resource
	for _, one := range among {
		if ok, err := filter.Match(one); ok && err == nil {
			out = append(out, one)
		}
	}
	return ids(out)
}

func param(typ, name, value string) search.Param {
	d, _ := search.Lookup(typ, name)
	return search.Param{Definition: d, Values: []string{value}}
}

func encode(typ string, params ...search.Param) string {
	return search.Query{Type: typ, Count: -1, Params: params}.Encode()
}

// value takes a search value from a resource, "" when it holds none.
func value(d search.Definition, r *fhir.Resource) string {
	if d.Name == "_id" {
		return r.ID()
	}
	for v := range d.Values(r) {
		text := ""
		switch d.Kind {
		case search.Token:
			text = token(v)
		case search.Date:
			if start := v.Get("start").Text(); start != "" {
				text = "ge" + start
			} else {
				text = v.Text()
			}
		case search.Reference:
			text = v.Get("reference").Text()
		case search.String:
			for _, part := range []string{"family", "city", "text", "description"} {
				if text == "" {
					text = v.Get(part).Text()
				}
			}
			if text == "" {
				text = v.Text()
			}
		default:
			text = v.Text()
		}
		if text != "" {
			if d.Kind == search.Token {
				return text
			}
			return search.Escape(text)
		}
	}
	return ""
}

func token(v fhir.Node) string {
	for c := range v.Get("coding").Items() {
		if c.Get("code").Exists() {
			return search.Escape(c.Get("system").Text()) + "|" + search.Escape(c.Get("code").Text())
		}
	}
	for _, part := range []string{"value", "code"} {
		if v.Get(part).Exists() {
			return search.Escape(v.Get("system").Text()) + "|" + search.Escape(v.Get(part).Text())
		}
	}
	return search.Escape(v.Text())
}
