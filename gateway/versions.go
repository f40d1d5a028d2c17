package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// Old versions (R4 http, sections 3.1.0.3 and 3.1.0.10). Whose a resource is may
// have been written otherwise before, so that each version is judged for itself
// (docs/pitfalls.md 19), and none is given unless the resource may be read today:
// one that was filed under a patient by mistake, and corrected, is not theirs. What
// is not there, never was, is somebody else's or cannot be had from the upstream
// looks the same.

// change is how a version came to be, as far as it is told on.
type change struct {
	method string
	gone   bool // it is a deletion: what follows is all that is known of it
	etag   string
	at     string
}

func isVersions(segments []string) bool {
	return len(segments) >= 3 && len(segments) <= 4 && segments[2] == "_history" && !notAnID(segments[1])
}

// parseVersions understands {type}/{id}/_history and {type}/{id}/_history/{vid}.
func (g *Gateway) parseVersions(x *exchange, r *http.Request, segments []string) error {
	if !isGet(r) {
		return fault.New(fault.MethodNotAllowed, "Versions can only be read.")
	}
	x.ask.Interaction, x.ask.ID = guard.History, segments[1]
	if len(segments) == 4 {
		x.ask.Interaction, x.ask.Version = guard.VRead, segments[3]
	}
	x.event.Interaction, x.event.ResourceID = string(x.ask.Interaction), x.ask.ID
	x.log.SetInteraction(string(x.ask.Interaction))
	if !fhir.ValidID(x.ask.ID) || len(segments) == 4 && !fhir.ValidID(x.ask.Version) {
		x.event.ResourceID = ""
		return fault.New(fault.NotFound, "Not found.") // as for an id that is not there
	}
	if x.ask.Interaction == guard.VRead {
		return x.parseReadOptions(r)
	}
	x.place = x.ask.Type + "/" + x.ask.ID + "/_history"
	return g.parseHistory(x, r)
}

// parseHistory reads the parameters of an instance's history.
func (g *Gateway) parseHistory(x *exchange, r *http.Request) error {
	pairs, err := search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return searchFault(err)
	}
	if pairs, _, err = g.openPage(x, pairs); err != nil {
		return err
	}
	x.query = encodePairs(pairs)
	if pairs, err = x.common(pairs, "The history of a resource"); err != nil {
		return err
	}
	x.ask.Query = search.Query{Type: x.ask.Type, Count: -1}
	for _, p := range pairs {
		switch p.Name {
		case "_count":
			q, err := search.Parse(x.ask.Type, []search.Pair{p}, search.Options{Strict: true, MaxCount: x.src.PageSize})
			if err != nil {
				return searchFault(err)
			}
			x.ask.Query.Count = q.Count
		case "_since":
			if x.since, err = instant(p.Value); err != nil {
				return err
			}
		case "_at":
			return fault.New(fault.Unsupported, "_at is not supported: ask for the whole history, or from _since on.")
		default:
			return fault.New(fault.Invalid, "The history of a resource takes _count and _since.")
		}
	}
	return nil
}

// instant reads a FHIR instant; a date alone is none.
func instant(value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return at, fault.New(fault.Invalid, "_since takes an instant such as 2024-05-01T10:00:00Z; the + of a time zone is written %%2B.")
	}
	return at, nil
}

// early says whether a version was made before _since. One that does not say
// when it was made is taken to be early.
func (x *exchange) early(at string) bool {
	if x.since.IsZero() {
		return false
	}
	made, err := time.Parse(time.RFC3339Nano, at)
	return err != nil || made.Before(x.since)
}

// versioned says whether the upstream can be asked for versions of a type. One
// that states nothing may have them.
func (x *exchange) versioned(known *upstream.Capabilities, ask guard.Ask) bool {
	return x.src.Versions != nil && (known == nil || len(known.Types) == 0 || known.Types[ask.Type].Interactions[string(ask.Interaction)])
}

// version gives one version, or the first page of the history.
func (x *exchange) version(ask guard.Ask) (*upstream.Answer, error) {
	if ask.Interaction == guard.VRead {
		return x.trace.Asked("vread", ask.Type, x.depth > 0, func() (*upstream.Answer, error) { return x.src.Versions.VRead(x.ctx, ask.Type, ask.ID, ask.Version) })
	}
	query := ""
	if ask.Query.Count > 0 {
		query = "_count=" + strconv.Itoa(ask.Query.Count)
	}
	return x.trace.Asked("history", ask.Type, x.depth > 0, func() (*upstream.Answer, error) { return x.src.Versions.History(x.ctx, ask.Type, ask.ID, query) })
}

// judgeGone decides on a deletion: it leaves when a version of the same
// resource does.
func (g *Gateway) judgeGone(x *exchange, one item) (bool, error) {
	name := one.Change.URL
	if name == "" {
		name = one.FullURL
	}
	if v := one.plan.JudgeDeleted(name); v.Decision != guard.ProveVersion {
		return false, nil
	}
	if x.passed || x.depth > 0 {
		return x.passed, nil
	}
	err := g.lookForVersion(x)
	return x.passed && err == nil, err
}

// lookForVersion looks once for a version that may leave in all of the history:
// the answer may hold none when an earlier page did, or a later one does.
func (g *Gateway) lookForVersion(x *exchange) error {
	if x.looked {
		return nil
	}
	x.looked = true
	ask := x.ask
	ask.Query.Count = -1
	sub := x.sub(ask)
	if err := g.narrow(sub); err != nil {
		return failure(err)
	}
	for _, err := range g.check(sub, g.fetch(sub)) {
		if err != nil {
			return failure(err)
		}
		x.passed = true
		break
	}
	return nil
}

// notNow says whether the resource whose versions are asked for may not be read
// now: it was corrected to be somebody else's, is withheld by its label, or is out
// of scope. One that is not there any more cannot be asked, so its versions are not
// given either. The versions themselves are asked for only afterwards, so what
// nobody may see costs what a read of it does.
func (g *Gateway) notNow(x *exchange) (bool, error) {
	may, err := g.proveSame(x, fhir.Reference{Where: fhir.Local, Type: x.ask.Type, ID: x.ask.ID})
	if err == nil && !may {
		x.looked = true // there is no version to be looked for
	}
	return !may, err
}

// isNow says whether a version is what is there now, byte for byte: not every
// record says which version that is. What leads to a resource leads to what it is
// today; whose a device or a file was that was used again, no version says.
func (g *Gateway) isNow(x *exchange, r *fhir.Resource) (bool, error) {
	if x.now == nil {
		x.now = []byte{}
		one, _, err := g.readNow(x, r.Type(), r.ID())
		switch {
		case err == nil:
			x.now = one.resource.Bytes()
		case fault.KindOf(err) != fault.NotFound:
			return false, failure(err)
		}
	}
	return bytes.Equal(x.now, r.Bytes()), nil
}

// existed is an error when nothing of a resource's history may be told, and the
// resource is thus none.
func (x *exchange) existed() error {
	if x.ask.Interaction == guard.History && !x.passed && (x.resume == nil || x.looked) {
		return fault.New(fault.NotFound, "Not found.")
	}
	return nil
}

// tombstone is a deletion ready to leave: which resource, which version, when.
func (k *kept) tombstone(x *exchange) piece {
	version := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(k.change.etag, "W/"), `"`), `"`)
	if !fhir.ValidID(version) {
		version = ""
	}
	return piece{typ: x.ask.Type, id: x.ask.ID, match: true, version: version, updated: k.change.at, change: k.change}
}
