package quirks

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/ahead"
	"github.com/portico-fhir/portico/internal/fault"
)

// maxFetches bounds how many of the upstream's pages are read for one of ours.
const maxFetches = 100

// found is one entry that belongs into the answer.
type found struct {
	fhir.Entry
	match bool
	at    position // where it stands
}

// scan walks a plan's calls from a position on.
type scan struct {
	r     *Reader
	ctx   context.Context
	p     *plan
	seen  map[string]bool // Type/id of what was given
	given given           // what pages before this one gave
	take  func(found) bool
	// turn is asked before each further page of the upstream.
	turn func(position) bool
	few  bool // the first call may be enough

	from     position
	pages    map[string]bool // that were read
	passed   map[string]bool // Type/id of what stands before where it begins
	answered bool            // one call at least was understood
	refused  error
	over     bool // the rest of it is not wanted
}

// run ends when there is no more, or when take or turn want no more.
func (s *scan) run(from position) error {
	s.from = from
	return walk(s.ctx, s.r, []*scan{s}, func(err error) error { return err })
}

// job is a call of a scan, and where in it to begin.
type job struct {
	s  *scan
	at position
}

// walk goes through scans in order. The calls are asked a few at a time, and what
// is given is the same as if they were asked one after the other. failed decides
// whether an error ends one scan alone, which is when it gives nil.
func walk(ctx context.Context, r *Reader, scans []*scan, failed func(error) error) error {
	var jobs []job
	var asks []ahead.Question[*source]
	for _, s := range scans {
		s.pages, s.passed = map[string]bool{}, map[string]bool{}
		s.answered = s.from.Call > 0 || s.from.URL != ""
		for i := s.from.Call; i < len(s.p.calls); i++ {
			at := position{Call: i}
			if i == s.from.Call {
				at = s.from
			}
			jobs, asks = append(jobs, job{s, at}), append(asks, s.question(at, len(asks) > 0))
		}
	}
	options := ahead.Options[*source]{
		AtOnce: together, Few: len(scans) == 1 && scans[0].few,
		Drop: func(src *source) { src.close() }, Places: r.early, Busy: busy,
	}
	for i, first := range ahead.InOrder(ctx, asks, options) {
		j := jobs[i]
		if j.s.over {
			if first.Err == nil {
				first.Value.close()
			}
			continue
		}
		more, err := j.s.call(j.at, first.Value, first.Err)
		if err != nil {
			if err = failed(err); err != nil {
				return err
			}
			j.s.over = true
		} else if !more {
			return nil
		}
	}
	return nil
}

// busy says that an error may come of what is asked beside.
func busy(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Unavailable || kind == fault.TooMany
}

// question asks for the first page of a call. What comes early is read as far as
// it holds up nobody.
func (s *scan) question(at position, early bool) ahead.Question[*source] {
	return func(ctx context.Context) (*source, error) {
		if !early {
			return s.open(ctx, at)
		}
		return s.openWith(ctx, at, ahead.Body)
	}
}

// call goes through the pages of a call. more is false when nothing further is
// wanted.
func (s *scan) call(at position, src *source, err error) (more bool, _ error) {
	if at != s.from && !s.turn(at) {
		if err == nil {
			src.close()
		}
		return false, nil
	}
	for {
		var next string
		if next, more, err = s.page(at, src, err); err != nil || !more {
			return false, err
		}
		if next == "" {
			break
		}
		if s.pages[next] || next == at.URL {
			return false, fault.Wrap(errors.New("quirks: a link to a further page leads back"), fault.Upstream, unusable)
		}
		s.pages[next] = true
		at = position{Call: at.Call, URL: next}
		if !s.turn(at) {
			return false, nil
		}
		src, err = s.open(s.ctx, at)
	}
	if at.Call == len(s.p.calls)-1 && !s.answered && s.refused != nil {
		return false, s.refused
	}
	return true, nil
}

// page reads one page of the upstream.
func (s *scan) page(at position, src *source, err error) (next string, more bool, _ error) {
	if err != nil {
		// Of several values the server may not know one: what it does not know
		// it does not have. If it knows none, something else is wrong.
		if fault.KindOf(err) == fault.Invalid && len(s.p.calls) > 1 && at.URL == "" {
			s.refused = err
			return "", true, nil
		}
		return "", false, err
	}
	answered := s.answered
	s.answered = true
	defer src.close()
	var said error // in place of results
	others, matches := false, 0
	for i := 0; ; i++ {
		e, err := src.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", false, err
		}
		if e.Mode == "outcome" || e.Resource != nil && e.Resource.Type() == "OperationOutcome" {
			said = cmp.Or(said, upstream.Refusal(e.Resource))
		} else {
			others = true
			if e.Mode != "include" && (e.Resource == nil || e.Resource.Type() == s.p.typ) {
				matches++
			}
		}
		f := found{Entry: e, at: position{at.Call, at.URL, i}}
		if s.belongs(&f, at.Skip) && !s.take(f) {
			return "", false, nil
		}
	}
	if said != nil && !others {
		s.answered = answered
		return s.page(at, nil, said)
	}
	if next = src.link(); next != "" {
		if next, err = s.r.absolute(next, src.url); err != nil {
			return "", false, err
		}
		return next, true, nil
	}
	return s.beyond(at, matches, src.total()), true, nil
}

// beyond gives the page after one, where the server gives no links to pages: the
// same search, less what came so far. It is "" when nothing more can be there. A
// total is believed only where it says that there is more: some count the page.
func (s *scan) beyond(at position, matches, total int) string {
	c, offset := s.p.calls[at.Call], s.r.profile.Next.Offset
	if offset == "" || c.query == "" || matches == 0 {
		return ""
	}
	if at.URL == "" {
		at.URL = s.r.base.String() + "/" + s.p.typ + "?" + c.query
	}
	u, err := url.Parse(at.URL)
	if err != nil {
		return ""
	}
	query := u.Query()
	given, _ := strconv.Atoi(query.Get(offset)) // none on the first page
	given += matches
	if asked, err := strconv.Atoi(query.Get("_count")); err == nil && matches < asked && given >= total {
		return ""
	}
	query.Set(offset, strconv.Itoa(given))
	u.RawQuery = query.Encode()
	return u.String()
}

func (s *scan) open(ctx context.Context, at position) (*source, error) {
	return s.openWith(ctx, at, func(body io.ReadCloser) io.ReadCloser { return body })
}

// openWith opens a page of a call whose body is read in some way.
func (s *scan) openWith(ctx context.Context, at position, way func(io.ReadCloser) io.ReadCloser) (*source, error) {
	c := s.p.calls[at.Call]
	switch {
	case c.id != "":
		return s.r.one(ctx, s.p.typ, c.id)
	case c.list:
		return s.r.list(ctx, s.p.typ, at.URL)
	}
	page := at.URL
	var answer *upstream.Answer
	var err error
	if page != "" {
		answer, err = s.r.up.Next(ctx, page)
	} else {
		page = s.r.base.String() + "/" + s.p.typ
		answer, err = s.r.up.Search(ctx, s.p.typ, c.query)
	}
	if err != nil {
		return nil, err
	}
	body := way(answer.Body)
	return bundle(body, body, page), nil
}

// belongs says whether an entry is part of the answer, and as what.
func (s *scan) belongs(f *found, skip int) bool {
	if f.Mode == "outcome" {
		return false
	}
	if f.Resource == nil { // counted by whoever judges, unless it was never asked for
		f.match = s.p.filter == nil
		return s.p.filter == nil && f.at.Skip >= skip
	}
	name := f.Resource.Type() + "/" + f.Resource.ID()
	if s.seen[name] {
		return false
	}
	if f.Resource.Type() != s.p.typ || f.Mode == "include" {
		if !s.p.native || f.Resource.Type() == "OperationOutcome" {
			return false // nobody asked for it
		}
		s.seen[name] = true
		return true
	}
	f.match = true
	if f.at.Skip < skip {
		s.passed[name] = f.Resource.ID() != "" // it stands on the page before this one, or nowhere
		return false
	}
	if s.passed[name] || !s.fits(f) {
		return false
	}
	s.seen[name] = f.Resource.ID() != ""
	return true
}

func (s *scan) fits(f *found) bool {
	if s.p.filter != nil {
		if ok, err := s.p.filter.Match(f.Resource); err != nil || !ok {
			return false
		}
	}
	return !s.given.has(s.p, f, s.from)
}
