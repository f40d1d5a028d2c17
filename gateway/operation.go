package gateway

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
)

// Operations are a closed list (docs/pitfalls.md 20). Each is carried out by
// searches of ours, which go the way of every search: what an upstream's own
// operation gives differs too much, and would have to be judged in the same way.

// maxParameters bounds the body of an operation, in bytes.
const maxParameters = 64 << 10

// operation is one that is served: its place, and what reads its parameters.
type operation struct {
	typ, name  string
	definition string // its canonical URL
	instance   bool   // also below [type]/[id]
	parse      func(*Gateway, *exchange, []search.Pair) error
}

func operations() []operation {
	return []operation{
		{"Patient", "$everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything", true, (*Gateway).parseEverything},
		{"DocumentReference", "$docref", "http://hl7.org/fhir/us/core/OperationDefinition/docref", false, (*Gateway).parseDocref},
		{"Observation", "$lastn", "http://hl7.org/fhir/OperationDefinition/Observation-lastn", false, (*Gateway).parseLastN},
	}
}

// operationAt finds the operation that a path names.
func operationAt(segments []string) (operation, bool) {
	last := len(segments) - 1
	for _, op := range operations() {
		if segments[0] == op.typ && segments[last] == op.name && (last == 1 || last == 2 && op.instance) {
			return op, true
		}
	}
	return operation{}, false
}

func (g *Gateway) parseOperation(x *exchange, r *http.Request, op operation, segments []string) error {
	x.ask.Type, x.event.Type, x.event.Interaction = op.typ, op.typ, op.name
	x.log.SetInteraction(op.name)
	if !isGet(r) && r.Method != http.MethodPost {
		return fault.New(fault.MethodNotAllowed, "%s is available by GET and by POST.", op.name)
	}
	if len(segments) == 3 && segments[1] != x.who.Patient {
		return fault.New(fault.NotFound, "Not found.")
	}
	x.place = op.typ + "/" + op.name
	if op.instance {
		x.place = op.typ + "/" + x.who.Patient + "/" + op.name
	}
	var body []search.Pair
	if r.Method == http.MethodPost {
		var err error
		if body, err = parameters(r); err != nil {
			return err
		}
	}
	pairs, _, err := g.asked(x, r, body)
	if err != nil {
		return err
	}
	x.query = encodePairs(pairs)
	if pairs, err = x.common(pairs, op.name); err != nil {
		return err
	}
	return op.parse(g, x, pairs)
}

// parameters reads a Parameters resource as what a query would say. No body at
// all says nothing.
func parameters(r *http.Request) ([]search.Pair, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxParameters+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "The body could not be read.")
	case len(raw) > maxParameters:
		return nil, fault.New(fault.TooLarge, "The parameters of an operation may have %d KiB at most.", maxParameters>>10)
	case len(raw) == 0:
		return nil, nil
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != fhir.JSON && media != "application/json" {
		return nil, fault.New(fault.UnsupportedMedia, "The parameters of an operation must be sent as application/fhir+json.")
	}
	body, err := fhir.ParseResource(raw)
	if err != nil || body.Type() != "Parameters" {
		return nil, fault.New(fault.Invalid, "The body is not a Parameters resource in well-formed JSON.")
	}
	var out []search.Pair
	for p := range body.Root().At("parameter") {
		pair, err := parameter(p)
		if err != nil {
			return nil, err
		}
		// What may be repeated here is a list in a query.
		if i := indexOf(out, pair.Name); i >= 0 && (pair.Name == "_type" || pair.Name == "profile") {
			out[i].Value += "," + pair.Value
			continue
		}
		out = append(out, pair)
	}
	return out, nil
}

func indexOf(pairs []search.Pair, name string) int {
	for i, p := range pairs {
		if p.Name == name {
			return i
		}
	}
	return -1
}

// parameter reads one parameter that has one value: a primitive, or a concept.
func parameter(p fhir.Node) (search.Pair, error) {
	pair := search.Pair{Name: p.Get("name").Text()}
	values := 0
	for m := range p.Children() {
		switch name := m.Name(); {
		case name == "valueCodeableConcept":
			pair.Value = tokens(m.Get("coding"))
		case name == "valueCoding":
			pair.Value = tokens(m)
		case strings.HasPrefix(name, "value"):
			pair.Value = m.Text()
		case name == "name", name == "id", strings.HasPrefix(name, "_"):
			continue
		default:
			return pair, fault.New(fault.Invalid, "The parameters of an operation hold values only.")
		}
		values++
	}
	if pair.Name == "" || pair.Value == "" || values != 1 {
		return pair, fault.New(fault.Invalid, "Each parameter of an operation has a name and one value.")
	}
	return pair, nil
}

// tokens writes codings as the value of a token parameter.
func tokens(codings fhir.Node) string {
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `|`, `\|`, `$`, `\$`)
	var out []string
	for c := range codings.Items() {
		code := escape.Replace(c.Get("code").Text())
		if system := c.Get("system"); system.Exists() {
			code = escape.Replace(system.Text()) + "|" + code
		}
		out = append(out, code)
	}
	return strings.Join(out, ",")
}
