package quirks

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
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
	r    *Reader
	ctx  context.Context
	p    *plan
	seen map[string]bool // Type/id of what was given
	take func(found) bool
	// turn is asked before each further page of the upstream.
	turn func(position) bool

	answered bool // one call at least was understood
	refused  error
}

// run ends when there is no more, or when take or turn want no more.
func (s *scan) run(from position) error {
	s.answered = from.Call > 0 || from.URL != ""
	at := from
	for at.Call < len(s.p.calls) {
		next, more, err := s.page(at)
		if err != nil || !more {
			return err
		}
		if next != "" {
			at = position{Call: at.Call, URL: next}
		} else {
			at = position{Call: at.Call + 1}
		}
		if at.Call < len(s.p.calls) && !s.turn(at) {
			return nil
		}
	}
	if !s.answered && s.refused != nil {
		return s.refused
	}
	return nil
}

// page reads one page of the upstream.
func (s *scan) page(at position) (next string, more bool, err error) {
	src, err := s.open(at)
	if err != nil {
		// Of several values the server may not know one: what it does not know
		// it does not have. If it knows none, something else is wrong.
		if fault.KindOf(err) == fault.Invalid && len(s.p.calls) > 1 {
			s.refused = err
			return "", true, nil
		}
		return "", false, err
	}
	s.answered = true
	defer src.close()
	for i := 0; ; i++ {
		e, err := src.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", false, err
		}
		f := found{Entry: e, at: position{at.Call, at.URL, i}}
		if s.belongs(&f, at.Skip) && !s.take(f) {
			return "", false, nil
		}
	}
	if next = src.link(); next != "" {
		if next, err = s.r.absolute(next, src.url); err != nil {
			return "", false, err
		}
	}
	return next, true, nil
}

func (s *scan) open(at position) (*source, error) {
	c := s.p.calls[at.Call]
	switch {
	case c.id != "":
		return s.r.one(s.ctx, s.p.typ, c.id)
	case c.list:
		return s.r.list(s.ctx, s.p.typ, at.URL)
	}
	url := at.URL
	var answer *upstream.Answer
	var err error
	if url != "" {
		answer, err = s.r.up.Next(s.ctx, url)
	} else {
		url = s.r.base.String() + "/" + s.p.typ
		answer, err = s.r.up.Search(s.ctx, s.p.typ, c.query)
	}
	if err != nil {
		return nil, err
	}
	return bundle(answer.Body, answer.Body, url), nil
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
	if f.at.Skip < skip || !s.fits(f) {
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
	return !slices.ContainsFunc(s.p.calls[:f.at.Call], func(c call) bool {
		if c.part == nil {
			return false
		}
		ok, err := c.part.Match(f.Resource)
		return err == nil && ok
	})
}
