// Package quirks makes an EHR that does search in its own way answer as R4 says,
// by what a profile knows of it: it rewrites what is asked, joins the results of
// several searches, searches in lists, and follows references where the EHR does
// not. It knows neither patients nor scopes; what of an answer may leave is
// decided elsewhere, as for any upstream.
package quirks

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxEntry = 32 << 20 // bytes of one resource or entry
	maxEarly = 32       // questions that all searches together have asked before their turn: half of what an EHR gets at once unless told otherwise
	unusable = "The record system gave an unusable answer."
)

// Options configures a Reader.
type Options struct {
	Upstream upstream.Reader // the server as it is
	Base     fhir.Base       // its base
	Profile  *profiles.Profile
	Room     *Room            // shared with other Readers; nil: one of its own
	Now      func() time.Time // for searches with the prefix ap; time.Now when nil
}

// Reader is an upstream without its quirks.
type Reader struct {
	up      upstream.Reader
	base    fhir.Base
	aliases []fhir.Base
	profile *profiles.Profile
	ids     *regexp.Regexp
	plain   bool
	now     func() time.Time
	room    *Room
	early   *semaphore.Weighted // of what is asked before its turn
	listed  sync.Map            // type -> the list path that was there last
}

var _ upstream.Reader = (*Reader)(nil)

// New puts a profile over an upstream.
func New(o Options) (*Reader, error) {
	if o.Upstream == nil || o.Base == (fhir.Base{}) || o.Profile == nil {
		return nil, errors.New("quirks: Upstream, Base and Profile are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Room == nil {
		o.Room = NewRoom(DefaultRoom)
	}
	r := &Reader{up: o.Upstream, base: o.Base, profile: o.Profile, ids: o.Profile.ID(), plain: o.Profile.Plain(), now: o.Now, room: o.Room, early: semaphore.NewWeighted(maxEarly)}
	for _, a := range o.Profile.Next.Aliases {
		base, err := fhir.ParseBase(a)
		if err != nil {
			return nil, errors.New("quirks: an alias is no base URL")
		}
		r.aliases = append(r.aliases, base)
	}
	return r, nil
}

// Read implements upstream.Reader.
func (r *Reader) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	if !fhir.ValidID(id) || r.ids != nil && !r.ids.MatchString(id) {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	var answer *upstream.Answer
	err := fault.New(fault.NotFound, "Not found.")
	for _, template := range r.readPaths() {
		if template == "" {
			answer, err = r.up.Read(ctx, typ, id)
		} else {
			answer, err = r.up.Next(ctx, r.base.String()+"/"+strings.NewReplacer("{type}", typ, "{id}", id).Replace(template))
		}
		if !elsewhere(err) {
			break
		}
	}
	if err != nil && !r.plain && fault.KindOf(err) == fault.Invalid {
		// Servers with ids of a form of their own call others malformed.
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return answer, err
}

// readPaths gives where a resource may be; "" is where R4 says.
func (r *Reader) readPaths() []string {
	if len(r.profile.Files.Read) == 0 {
		return []string{""}
	}
	return r.profile.Files.Read
}

// elsewhere says whether an error means that it may be at another place.
func elsewhere(err error) bool {
	if err == nil {
		return false
	}
	kind := fault.KindOf(err)
	return kind == fault.NotFound || kind == fault.Unsupported || errors.Is(err, upstream.ErrUnreadable)
}

// Search implements upstream.Reader.
func (r *Reader) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	if r.plain {
		return r.up.Search(ctx, typ, query)
	}
	return r.first(ctx, state{Type: typ, Query: query})
}

// Next implements upstream.Reader.
func (r *Reader) Next(ctx context.Context, link string) (*upstream.Answer, error) {
	if !strings.HasPrefix(link, scheme) {
		absolute, err := r.absolute(link, "")
		if err != nil {
			return nil, err
		}
		return r.up.Next(ctx, absolute)
	}
	at, err := r.open(link)
	if err != nil {
		return nil, fault.Wrap(err, fault.Upstream, unusable)
	}
	return r.first(ctx, at)
}

// first gives a page of a search from a position on.
func (r *Reader) first(ctx context.Context, at state) (*upstream.Answer, error) {
	q, err := parse(at.Type, at.Query, r.base)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "The record system does not understand this search.")
	}
	p, err := r.plan(ctx, q)
	if err != nil {
		return nil, err
	}
	if at.Call >= len(p.calls) && at.Call > 0 {
		return nil, fault.New(fault.NotFound, "This page is no longer there.")
	}
	before, err := readGiven(at.Given, at.Full)
	if err != nil {
		return nil, fault.Wrap(err, fault.Upstream, unusable)
	}
	body, err := newBody(r.page(ctx, p, at, before))
	if err != nil {
		return nil, err
	}
	return &upstream.Answer{Body: body}, nil
}

func parse(typ, query string, base fhir.Base) (search.Query, error) {
	pairs, err := search.ParsePairs(query)
	if err != nil {
		return search.Query{}, err
	}
	return search.Parse(typ, pairs, search.Options{Strict: true, Trusted: true, Base: base})
}
