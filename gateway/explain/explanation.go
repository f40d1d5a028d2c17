// Package explain owns the decision trace of a request: what may be told of it,
// how it is collected along the way, and where it waits for an operator. It
// decides nothing and must not change what is decided; nothing that is not in a
// closed list may get into it.
package explain

import "time"

// Explanation is the decision trace of one request, for operators. It says how
// Portico decided and never about whom or what: ids, values, names, hosts and
// tokens have no member here. Every text in it is a word of the code, a name of
// FHIR's own tables, an id of the configuration or the client's id.
type Explanation struct {
	Request string    `json:"request"` // X-Request-Id of the answer
	Time    time.Time `json:"time"`
	Source  string    `json:"source"`

	Client string   `json:"client,omitempty"`
	Scopes []string `json:"scopes,omitempty"` // of the token; values of granular ones hidden but for US Core's categories

	Interaction string `json:"interaction"`
	Type        string `json:"type,omitempty"`
	Page        bool   `json:"page,omitempty"` // a link to a further page was followed

	Parameters []Parameter `json:"parameters,omitempty"`
	Authorised []Scope     `json:"authorised,omitempty"`
	Narrowing  []Narrowing `json:"narrowing,omitempty"`
	Upstream   []*Call     `json:"upstream,omitempty"`
	Cache      []Cache     `json:"cache,omitempty"`
	Entries    []*Entry    `json:"entries,omitempty"`
	Proofs     []Proof     `json:"proofs,omitempty"`
	LeftOut    int         `json:"left_out,omitempty"` // calls, entries and proofs beyond what a trace lists

	Reasons  map[string]int `json:"reasons,omitempty"` // of what was withheld
	Released int            `json:"released"`
	Masked   int            `json:"masked"`
	Withheld int            `json:"withheld"`
	NextPage bool           `json:"next_page,omitempty"` // the answer links to one

	Ended        string  `json:"ended"`           // the last of the nine steps that was reached
	Error        string  `json:"error,omitempty"` // kind
	Outcome      string  `json:"outcome"`         // as in the audit, had it been asked by an app
	Status       int     `json:"status"`
	Milliseconds float64 `json:"milliseconds"`
}

// Parameter is one parameter as it was understood.
type Parameter struct {
	Name     string `json:"name"` // "?" for one that FHIR does not know: it could be anything
	Kind     string `json:"kind,omitempty"`
	Modifier string `json:"modifier,omitempty"`
	Values   int    `json:"values,omitempty"` // how many; what they are is not told
	// Became: "sent" to the EHR; "replaced" by the condition that Portico adds, with
	// which it agreed; "here" when it is applied to what comes back alone; "dropped"
	// as unknown under handling=lenient; "refused".
	Became string `json:"became"`
}

// Scope is how the scopes cover one type.
type Scope struct {
	Type    string   `json:"type"`
	Access  string   `json:"access"`            // r, s, c, u or d
	Covered string   `json:"covered"`           // whole, part or nothing
	By      []string `json:"by,omitempty"`      // the scopes that do
	Missing string   `json:"missing,omitempty"` // a scope that would, or closed-type, or no-patient
}

// Narrowing is how one type is held inside the patient's record.
type Narrowing struct {
	Type      string   `json:"type"`
	Class     string   `json:"class"`           // of the owner rule
	How       string   `json:"how"`             // search, direct, anchor, open or nothing
	By        string   `json:"by,omitempty"`    // the parameter that names the patient
	Union     []string `json:"union,omitempty"` // parameters of further searches
	Anchors   []string `json:"anchors,omitempty"`
	Partial   bool     `json:"partial,omitempty"` // granular scopes: each resource is looked at
	CountOnly bool     `json:"count_only,omitempty"`
}

// Call is one question to the EHR, or to the cache in front of it.
type Call struct {
	Number       int      `json:"number"`
	Kind         string   `json:"kind"` // read, search, page, vread, history, file, create, update or delete
	Type         string   `json:"type,omitempty"`
	Parameters   []string `json:"parameters,omitempty"` // names
	Proof        bool     `json:"proof,omitempty"`      // asked to prove something
	Result       string   `json:"result"`               // ok, or the kind of the error
	Entries      int      `json:"entries"`
	Bytes        int64    `json:"bytes"`
	Milliseconds float64  `json:"milliseconds"` // until the answer begins
}

// Entry is what became of one resource that came back.
type Entry struct {
	Call     int    `json:"call"`     // number of the call
	Position int    `json:"position"` // in its answer, from 1
	Type     string `json:"type,omitempty"`
	Mode     string `json:"mode,omitempty"` // as the EHR says: match, include, outcome
	Proof    bool   `json:"proof,omitempty"`
	Became   string `json:"became"` // kept, masked, withheld, or left-out: it may leave and was not asked for
	Reason   string `json:"reason"`
}

// Proof is one proof that a resource may leave.
type Proof struct {
	// Kind: "target", a resource that must be readable; "reach", one that something
	// must lead to; "pointer", the search for what leads there, of whose type it is.
	Kind   string `json:"kind"`
	Type   string `json:"type"`
	Proven bool   `json:"proven"`
	// Why: "known" in this request, "remembered" from others, "fetched", "found",
	// "missing", or what kept it from being tried: "scope", "depth", "budget".
	Why string `json:"why"`
}

// Cache is what the cache said.
type Cache struct {
	Class  string  `json:"class"`  // what was kept: answer, as it left, or upstream, what the EHR had said
	Result string  `json:"result"` // hit, stale, miss, …
	Age    float64 `json:"age_seconds,omitempty"`
}
