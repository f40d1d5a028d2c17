package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// MaxWrite is how many bytes a resource, or a patch, may have as it is sent.
const MaxWrite = 2 << 20

const jsonPath = "application/json-patch+json"

// changes says whether a request is to change something: all that is not one of
// the ways to read.
func changes(r *http.Request, path string) bool {
	switch r.Method {
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	case http.MethodPost:
		segments, err := splitPath(path)
		return err == nil && len(segments) == 1 && search.IsResourceType(segments[0])
	}
	return false
}

// parseChange is step 2 for a change: path and method become one typed
// interaction. Nothing else is looked at before the scopes are.
func parseChange(x *exchange, c *write, r *http.Request, path string) error {
	if err := refuseOverrides(r); err != nil {
		return err
	}
	if err := acceptsJSON(r.Header.Values("Accept")); err != nil {
		return err
	}
	if r.Header.Get("X-Provenance") != "" {
		return fault.New(fault.Invalid, "X-Provenance is not taken: a Provenance is written here with every change.")
	}
	segments, err := splitPath(path)
	if err != nil {
		return err
	}
	typ := segments[0]
	switch {
	case typ == "":
		return fault.New(fault.MethodNotAllowed, "System-level interactions are not available; name one resource.")
	case !search.IsResourceType(typ):
		return notAType(typ)
	}
	x.ask.Type, x.event.Type = typ, typ
	x.ask.Interaction = map[string]guard.Interaction{
		http.MethodPost: guard.Create, http.MethodPut: guard.Update, http.MethodPatch: guard.Patch, http.MethodDelete: guard.Delete,
	}[r.Method]
	x.event.Interaction = string(x.ask.Interaction)
	x.log.SetInteraction(string(x.ask.Interaction))
	switch {
	case len(segments) == 1:
		c.several = r.Method != http.MethodPost
	case len(segments) > 2, notAnID(segments[1]), segments[1] == "_search":
		return fault.New(fault.MethodNotAllowed, "%s is not available here.", r.Method)
	case !fhir.ValidID(segments[1]):
		return fault.New(fault.NotFound, "Not found.")
	default:
		x.ask.ID, x.event.ResourceID = segments[1], segments[1]
	}
	return nil
}

func noParameters(r *http.Request) error {
	pairs, err := search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return searchFault(err)
	}
	for _, p := range pairs {
		switch p.Name {
		case "_pretty":
		case "_format":
			if err := acceptsFormat(p.Value); err != nil {
				return err
			}
		default:
			return fault.New(fault.Invalid, "A change takes no parameters but _format and _pretty.")
		}
	}
	return nil
}

// headers reads the conditions. A change of what is there needs to say which
// version the app has seen, so that nobody's change is lost: a server may
// require that by answering 400 (R4 http, section 3.1.0.6), and a version that
// does not fit is 412.
func (c *write) headers(r *http.Request, i guard.Interaction) error {
	c.prefer = prefer(r, "return")
	if i == guard.Create {
		c.ifNoneExist = r.Header.Get("If-None-Exist")
		if len(r.Header.Values("If-None-Exist")) > 1 || r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != "" {
			return fault.New(fault.Invalid, "A create takes no condition but one If-None-Exist.")
		}
		return nil
	}
	match := r.Header.Values("If-Match")
	if len(match) != 1 {
		return fault.New(fault.Invalid, "If-Match must hold the ETag of the version that is to be changed.")
	}
	tag := strings.TrimPrefix(strings.TrimSpace(match[0]), "W/")
	version, ok := strings.CutPrefix(tag, `"`)
	version, closed := strings.CutSuffix(version, `"`)
	if !ok || !closed || !fhir.ValidID(version) {
		return fault.New(fault.Invalid, "If-Match must hold one ETag, as it came with the resource.")
	}
	c.ifMatch = version
	return nil
}

// prefer gives one preference (RFC 7240 §2).
func prefer(r *http.Request, name string) string {
	for _, one := range strings.FieldsFunc(strings.Join(r.Header.Values("Prefer"), ","), func(c rune) bool { return c == ',' || c == ';' }) {
		key, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// authoriseChange is step 3 for a change. The scope comes first, whatever else
// is wrong; then what the source lets apps do. What is there now must be
// readable too, so that a change tells nothing that a read would not.
func (x *exchange) authoriseChange(c *write) error {
	x.at("authorise")
	x.trace.Authorised(x.who, []guard.Ask{x.ask})
	if err := x.who.Authorise(x.ask); err != nil {
		return err
	}
	if c.several {
		return fault.New(fault.MethodNotAllowed, "A change is made to one resource, named by its id, and not to what a search finds.")
	}
	if !x.src.allows(x.ask.Type, x.ask.Interaction) {
		return fault.New(fault.MethodNotAllowed, "%s does not let apps %s %s.", x.src.Name, x.ask.Interaction, x.ask.Type)
	}
	if x.ask.Interaction == guard.Create {
		return nil
	}
	return x.who.Authorise(guard.Ask{Interaction: guard.Read, Type: x.ask.Type, ID: x.ask.ID})
}

// allows says whether the source's policy lets apps do something.
func (s *source) allows(typ string, i guard.Interaction) bool {
	return s.Writes != nil && slices.Contains(s.Write[typ], i)
}

// read takes parameters, conditions and body, on which none of what was decided
// so far depends.
func (c *write) read(r *http.Request, i guard.Interaction) error {
	if err := noParameters(r); err != nil {
		return err
	}
	if err := c.headers(r, i); err != nil {
		return err
	}
	if i == guard.Delete {
		return nil
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	switch {
	case err != nil, charset != "" && charset != "utf-8":
		return fault.New(fault.UnsupportedMedia, "The body must be JSON in UTF-8.")
	case i == guard.Patch && media != jsonPath:
		return fault.New(fault.UnsupportedMedia, "A patch must be a JSON Patch: application/json-patch+json.")
	case i != guard.Patch && media != fhir.JSON && media != "application/json":
		return fault.New(fault.UnsupportedMedia, "A resource must be sent as application/fhir+json.")
	}
	if c.body, err = io.ReadAll(io.LimitReader(r.Body, MaxWrite+1)); err != nil {
		return fault.Wrap(errors.New("gateway: the body broke off"), fault.Invalid, "The body could not be read.")
	}
	if len(c.body) > MaxWrite {
		return fault.New(fault.TooLarge, "A change may have %d MiB at most.", MaxWrite>>20)
	}
	return nil
}
