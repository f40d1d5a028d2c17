// Package search owns FHIR R4 search: the one parser of inbound queries, the
// tables of parameters (R4 base and US Core 6.1.0), the closed allow-lists of
// what may be used at all, the printer of what goes upstream and the matcher
// that decides whether a resource satisfies a query. It does no I/O and does
// not know who is asking.
package search

// Kind is a search parameter type (R4 "search", section 3.1.1.4).
type Kind string

// The parameter types of R4.
const (
	Number    Kind = "number"
	Date      Kind = "date"
	String    Kind = "string"
	Token     Kind = "token"
	Reference Kind = "reference"
	Composite Kind = "composite"
	Quantity  Kind = "quantity"
	URI       Kind = "uri"
	Special   Kind = "special"
)

// Definition is one search parameter of one resource type.
type Definition struct {
	Type       string   // resource type the parameter belongs to
	Name       string   // as written in a query
	Kind       Kind     // how values are read and compared
	Expression string   // FHIRPath subset, alternatives joined by " | ", choice elements as name[x]
	Targets    []string // Reference: allowed target types, empty when not a reference

	// Compartment says that the parameter can name whose a resource is: those
	// of CompartmentDefinition/patient, every "patient", and what looks at the
	// same elements. Apps may give it one plain value only.
	Compartment bool
}

// Query is a search that has been understood completely. What was not
// understood is never in it.
type Query struct {
	Type       string    // resource type searched
	Params     []Param   // filters, all of which must hold
	Include    []Include // _include, in order
	RevInclude []Include // _revinclude, in order
	Sort       []SortKey // _sort, in order
	Count      int       // _count; -1 when not given
	Elements   []string  // _elements
	Summary    string    // _summary: "", true, false, text, data, count
	Total      string    // _total: "", none, estimate, accurate
	Ignored    []string  // names dropped under handling=lenient, for the warning
}

// Param is one filter: name[:modifier]=value,value. Values are alternatives.
type Param struct {
	Definition Definition
	Modifier   string   // "", exact, contains, missing, not, text, ... or, for a reference, a type name
	Values     []string // still escaped as FHIR escapes (\, \$ \|): one per comma-separated alternative
}

// Include is one _include or _revinclude: Source:Param[:Target], iterated or not.
type Include struct {
	Source  string // resource type that holds the reference
	Param   string // search parameter of Source
	Target  string // restricts the target type when not ""
	Iterate bool
}

// SortKey is one key of _sort.
type SortKey struct {
	Name       string
	Descending bool
}
