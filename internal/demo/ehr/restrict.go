package ehr

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir/search"
)

// Restriction is what real servers refuse or leave out of search, each of it
// within R4 or nearly so. The zero value restricts nothing.
type Restriction struct {
	NoMetadata    bool                // 404 for the CapabilityStatement
	NoPostSearch  bool                // 405 for POST _search
	NoSearch      bool                // searches with parameters are 404; the whole type can be had
	Files         bool                // files by plain HTTP: {type}/{id}.json and {type}.json, whatever the query
	FileType      string              // Content-Type of these; application/json when empty
	Params        map[string][]string // by type: the only parameters, controls included; another is 400
	Never         []string            // parameters that are 400 for every type
	Ignored       []string            // parameters that are ignored without a word
	OneOf         map[string][]string // by type: one of these must be there, or _id; else 400
	IDAlone       bool                // _id beside another filter is 400
	OneValue      bool                // a list of values is 400
	NoModifiers   bool                // a modifier is 400
	BareID        bool                // patient=Patient/1 is 400, patient=1 is right
	WithReference bool                // patient=1 is 400, patient=Patient/1 is right
	WholeDays     bool                // dates that are no whole days, and prefixes beyond eq, ge, gt, le and lt, are 400
	MaxPage       int                 // a larger _count is cut to this
	RefusePage    int                 // a larger _count is 400
	RelativeNext  bool                // links to pages without scheme and host
	Alias         string              // links to pages begin with this base URL in place of the own one
	BareEntries   bool                // entries without fullUrl and search.mode
	Unstated      []string            // parameters that the CapabilityStatement leaves out for every type
	Soft          bool                // a search that is refused is 200, with the OperationOutcome where results would stand
	Wants         map[string]string   // parameters of this server's own that every search must have; without them it is refused
	NoIncludes    bool                // the CapabilityStatement names no includes, and they are ignored
}

// Restrict holds all requests from now on to a restriction; the zero value lifts
// it.
func (s *Server) Restrict(r Restriction) { s.restricted.Store(&r) }

func (s *Server) restriction() Restriction {
	if r := s.restricted.Load(); r != nil {
		return *r
	}
	return Restriction{}
}

var controlParams = []string{"_count", "_sort", "_include", "_revinclude", "_format", "_pretty", "_summary", "_elements", "_total", pageParam}

// refuseSearch refuses what a restricted server does not take.
func (r Restriction) refuseSearch(typ string, pairs []search.Pair) error {
	no := func(why string) error {
		return refuse(http.StatusBadRequest, "not-supported", "this server %s", why)
	}
	if r.lacks(pairs) {
		return no("cannot tell whose server is asked")
	}
	filters, satisfied, byID := 0, r.OneOf[typ] == nil, false
	for _, p := range pairs {
		name, modifier, _ := strings.Cut(p.Name, ":")
		control := slices.Contains(controlParams, name) || r.Wants[name] != ""
		if !control {
			filters++
		}
		byID = byID || name == "_id"
		satisfied = satisfied || name == "_id" || modifier == "" && slices.Contains(r.OneOf[typ], name)
		switch {
		case slices.Contains(r.Never, name):
			return no("does not know a parameter")
		case r.Params[typ] != nil && !control && !slices.Contains(r.Params[typ], name):
			return no("does not know a parameter of this type")
		case r.NoModifiers && modifier != "" && !control:
			return no("knows no modifiers")
		case r.OneValue && !control && strings.Contains(p.Value, ","):
			return no("takes one value at a time")
		case r.RefusePage > 0 && name == "_count" && number(p.Value) > r.RefusePage:
			return no("has smaller pages")
		}
		if err := r.refuseValue(typ, name, modifier, p.Value, no); err != nil {
			return err
		}
	}
	switch {
	case r.NoSearch && filters > 0:
		return refuse(http.StatusNotFound, "not-found", "there is nothing at this address")
	case !satisfied && filters > 0:
		return no("needs another parameter beside")
	case r.IDAlone && byID && filters > 1:
		return no("takes _id alone")
	}
	return nil
}

// lacks says whether one of the server's own parameters is not there.
func (r Restriction) lacks(pairs []search.Pair) bool {
	for name, value := range r.Wants {
		if !slices.Contains(pairs, search.Pair{Name: name, Value: value}) {
			return true
		}
	}
	return false
}

func (r Restriction) refuseValue(typ, name, modifier, value string, no func(string) error) error {
	d, known := search.Lookup(typ, name)
	switch {
	case !known || modifier != "":
	case name == "patient" && r.BareID && strings.Contains(value, "/"):
		return no("takes the id of a patient alone")
	case name == "patient" && r.WithReference && !strings.Contains(value, "/"):
		return no("takes a reference to a patient")
	case d.Kind == search.Date && r.WholeDays && !wholeDay(value):
		return no("takes whole days")
	}
	return nil
}

func wholeDay(value string) bool {
	for _, prefix := range []string{"eq", "ge", "gt", "le", "lt"} {
		value = strings.TrimPrefix(value, prefix)
	}
	return len(value) == len("2006-01-02") && strings.Count(value, "-") == 2 && value[0] >= '0' && value[0] <= '9'
}

func number(text string) int {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<20 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// without leaves out the parameters that a restricted server ignores.
func (r Restriction) without(pairs []search.Pair) []search.Pair {
	return slices.DeleteFunc(slices.Clone(pairs), func(p search.Pair) bool {
		name, _, _ := strings.Cut(p.Name, ":")
		return slices.Contains(r.Ignored, name) || r.Wants[name] != "" || r.NoIncludes && (name == "_include" || name == "_revinclude")
	})
}

// written writes pairs as a query again.
func written(pairs []search.Pair) string {
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value)
	}
	return strings.Join(parts, "&")
}

// pageURL writes a link as a restricted server does.
func (r Restriction) pageURL(c *call, link string) string {
	switch {
	case r.Alias != "":
		return r.Alias + strings.TrimPrefix(link, c.base)
	case r.RelativeNext:
		if _, query, ok := strings.Cut(link, "?"); ok {
			return "?" + query
		}
	}
	return link
}

// file answers as a server of files does: a resource, or all of a type, and no
// idea of queries.
func (s *Server) file(w http.ResponseWriter, r *http.Request, limits Restriction) {
	rest, ok := strings.CutPrefix(r.URL.Path, s.path+"/")
	name, json := strings.CutSuffix(rest, ".json")
	parts := strings.Split(name, "/")
	typ, known := typeNamed(parts[0])
	if !ok || !json || !known || len(parts) > 2 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	var body []byte
	if len(parts) == 2 {
		v, found := s.store.find(typ, parts[1])
		if !found || v.gone {
			http.NotFound(w, r)
			return
		}
		body = v.raw
	} else {
		b := &bundle{kind: "collection", total: -1}
		for _, record := range s.store.ofType(typ) {
			if v := s.store.get(record); !v.gone {
				b.entries = append(b.entries, bundleEntry{resource: v.raw})
			}
		}
		if len(b.entries) == 0 {
			http.NotFound(w, r)
			return
		}
		body = b.render()
	}
	w.Header().Set("Content-Type", orElse(limits.FileType, "application/json"))
	_, _ = w.Write(body)
}

// plain takes from a Bundle what a restricted server leaves out.
func (r Restriction) plain(c *call, b *bundle) {
	for i := range b.links {
		if b.links[i].Relation != "self" {
			b.links[i].URL = r.pageURL(c, b.links[i].URL)
		}
	}
	if r.BareEntries {
		for i := range b.entries {
			b.entries[i].fullURL, b.entries[i].mode = "", ""
		}
	}
}

// stated says what the CapabilityStatement of a restricted server lists.
func (r Restriction) stated(typ string, out *capabilityResource) {
	out.SearchParam = slices.DeleteFunc(out.SearchParam, func(p searchParam) bool {
		return slices.Contains(r.Unstated, p.Name) || r.Params[typ] != nil && !slices.Contains(r.Params[typ], p.Name)
	})
	if r.NoIncludes {
		out.SearchInclude, out.SearchRevInclude = nil, nil
	}
}
