// Package profiles owns what is known of how EHRs differ from FHIR R4's own
// idea of a server, as data: what a profile can say, the profiles that come with
// Portico, and the strict reading of those that an operator writes. It must not
// know how a quirk is worked around; that is gateway/upstream/quirks.
package profiles

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// How a type is found at an upstream.
const (
	ByQuery = "query" // GET [type]?parameter=value (R4 search, section 3.1.1)
	ByList  = "list"  // the whole type is read and Portico searches in it
	ByNone  = "none"  // it cannot be searched, only read by id
)

// What reference values look like that an upstream takes.
const (
	AsReference = "reference" // Patient/123
	AsID        = "id"        // 123
)

// How precise a date an upstream takes.
const (
	AnyDate = "any" // whatever R4 allows (R4 search, section 3.1.1.4.7)
	DayOnly = "day" // 2024-05-01, with eq, ge, gt, le or lt, and at most two of them
)

// What is done with a parameter that the CapabilityStatement does not list.
const (
	Send = "send"
	Drop = "drop" // Portico evaluates it itself
)

// Where it stands what the server can do.
const (
	Stated = "stated" // in its CapabilityStatement
	Absent = "absent" // nowhere: what the profile says counts
)

// Profile is what is known of one kind of server. The zero value of each key
// means what R4 says; a profile that extends another overrides key by key.
type Profile struct {
	Name     string          `yaml:"name,omitempty"`
	About    string          `yaml:"about,omitempty"`
	Extends  string          `yaml:"extends,omitempty"`
	HTTP     HTTP            `yaml:"http,omitempty"`
	Metadata string          `yaml:"metadata,omitempty"` // Stated (default) or Absent
	Offers   []string        `yaml:"offers,omitempty"`   // with Absent: the types there may be; none named means all of R4
	IDs      string          `yaml:"ids,omitempty"`      // regular expression of the ids the server gives; others are not asked for
	Files    Files           `yaml:"files,omitempty"`
	Search   Search          `yaml:"search,omitempty"`
	Next     Next            `yaml:"next,omitempty"`
	Types    map[string]Type `yaml:"types,omitempty"`
}

// HTTP says how requests and answers look.
type HTTP struct {
	Accept     string   `yaml:"accept,omitempty"`      // the Accept header; default application/fhir+json
	MediaTypes []string `yaml:"media_types,omitempty"` // of answers that are read as FHIR JSON, beside the usual ones
}

// Files says where a server that only serves files keeps them: paths below the
// base with {type} and {id}, tried in order.
type Files struct {
	Read []string `yaml:"read,omitempty"` // default {type}/{id}
	List []string `yaml:"list,omitempty"` // default {type}; a Bundle, lines of JSON or a folder's index
}

// Search says how searches differ.
type Search struct {
	How       string   `yaml:"how,omitempty"`       // ByQuery (default), ByList or ByNone
	Never     []string `yaml:"never,omitempty"`     // parameters that are sent for no type, _count, _sort, _include and _revinclude among them
	Unstated  string   `yaml:"unstated,omitempty"`  // Send (default) or Drop
	MaxCount  int      `yaml:"max_count,omitempty"` // the largest _count; 0: no limit is known
	Patients  string   `yaml:"patients,omitempty"`  // AsReference or AsID; default: as it comes, R4 allows both
	Dates     string   `yaml:"dates,omitempty"`     // AnyDate (default) or DayOnly
	Modifiers string   `yaml:"modifiers,omitempty"` // Send (default) or Drop: :exact, :not, :missing and the like
	OneValue  bool     `yaml:"one_value,omitempty"` // true: a parameter takes one value, no list with commas
	PlainID   bool     `yaml:"plain_id,omitempty"`  // true: _id is not taken beside other parameters

	Add map[string]string `yaml:"add,omitempty"` // parameters of the server's own that every search needs, such as the tenant's
}

// With gives a search with the parameters that every one needs.
func (s Search) With(query string) string {
	if len(s.Add) == 0 {
		return query
	}
	added := url.Values{}
	for name, value := range s.Add {
		added.Set(name, value)
	}
	return strings.Trim(query+"&"+added.Encode(), "&")
}

// Next says what links to further pages look like.
type Next struct {
	Relative bool     `yaml:"relative,omitempty"` // true: they are relative to the page they stand on
	Aliases  []string `yaml:"aliases,omitempty"`  // other base URLs that mean the same server
	Offset   string   `yaml:"offset,omitempty"`   // there are none: the parameter that says how many matches to leave out
}

// Type says what differs for one resource type.
type Type struct {
	How    string            `yaml:"how,omitempty"`     // as in Search
	Only   []string          `yaml:"only,omitempty"`    // the only parameters that are sent, when any is named; beside _id and controls
	Never  []string          `yaml:"never,omitempty"`   // added to those of Search
	Rename map[string]string `yaml:"rename,omitempty"`  // a parameter by another that means the same or more
	OneOf  []string          `yaml:"one_of,omitempty"`  // parameters of which the server wants one beside the patient's
	FanOut FanOut            `yaml:"fan_out,omitempty"` // asked when the app gave none of them
	Always map[string]string `yaml:"always,omitempty"`  // parameters that are added to every search
}

// FanOut is one search for each value, whose results are joined. What has none
// of the values is not found.
type FanOut struct {
	Param  string   `yaml:"param,omitempty"`
	Values []string `yaml:"values,omitempty"`
}

// Of gives what holds for a type, the defaults filled in.
func (p *Profile) Of(typ string) Type {
	t := p.Types[typ]
	if t.How == "" {
		t.How = p.Search.How
	}
	if t.How == "" {
		t.How = ByQuery
	}
	t.Never = append(slices.Clone(p.Search.Never), t.Never...)
	return t
}

// Plain says whether the server needs nothing but what R4 says, so that requests
// and answers can pass as they are.
func (p *Profile) Plain() bool {
	s := p.Search
	return len(p.Types) == 0 && len(p.Files.Read) == 0 && len(p.Files.List) == 0 && p.Metadata != Absent &&
		(s.How == "" || s.How == ByQuery) && len(s.Never) == 0 && s.Unstated != Drop && s.MaxCount == 0 &&
		s.Patients == "" && s.Modifiers != Drop && !p.Next.Relative && len(p.Next.Aliases) == 0 && p.Next.Offset == "" && s.Dates != DayOnly && !s.OneValue && !s.PlainID && len(s.Add) == 0
}

// ID gives the form of ids, nil when nothing is known of it.
func (p *Profile) ID() *regexp.Regexp {
	if p.IDs == "" {
		return nil
	}
	return regexp.MustCompile(`^(?:` + p.IDs + `)$`) // checked when the profile was read
}

// over puts what one says over what the other says.
func over[T comparable](own, base T) T {
	var zero T
	if own == zero {
		return base
	}
	return own
}

func overList(own, base []string) []string {
	if own == nil {
		return base
	}
	return own
}

// on gives the profile with the gaps filled from the one it extends. Lists and
// types are taken whole or not at all: a list that is there replaces the other.
func (p Profile) on(base *Profile) *Profile {
	p.HTTP.Accept = over(p.HTTP.Accept, base.HTTP.Accept)
	p.HTTP.MediaTypes = overList(p.HTTP.MediaTypes, base.HTTP.MediaTypes)
	p.Metadata = over(p.Metadata, base.Metadata)
	p.Offers = overList(p.Offers, base.Offers)
	p.IDs = over(p.IDs, base.IDs)
	p.Files.Read = overList(p.Files.Read, base.Files.Read)
	p.Files.List = overList(p.Files.List, base.Files.List)
	p.Search.How = over(p.Search.How, base.Search.How)
	p.Search.Never = overList(p.Search.Never, base.Search.Never)
	p.Search.Unstated = over(p.Search.Unstated, base.Search.Unstated)
	p.Search.MaxCount = over(p.Search.MaxCount, base.Search.MaxCount)
	p.Search.Patients = over(p.Search.Patients, base.Search.Patients)
	p.Search.Dates = over(p.Search.Dates, base.Search.Dates)
	p.Search.Modifiers = over(p.Search.Modifiers, base.Search.Modifiers)
	p.Next.Relative = over(p.Next.Relative, base.Next.Relative)
	p.Search.OneValue = over(p.Search.OneValue, base.Search.OneValue)
	p.Search.PlainID = over(p.Search.PlainID, base.Search.PlainID)
	p.Next.Offset = over(p.Next.Offset, base.Next.Offset)
	p.Next.Aliases = overList(p.Next.Aliases, base.Next.Aliases)
	if p.Search.Add == nil {
		p.Search.Add = base.Search.Add
	}
	types := maps.Clone(base.Types)
	if types == nil {
		types = map[string]Type{}
	}
	maps.Copy(types, p.Types)
	p.Types = types
	return &p
}
