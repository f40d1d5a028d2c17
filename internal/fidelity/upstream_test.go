package fidelity_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
)

// style is a way of writing a searchset around entries that are copied in as
// they are. Every %s of entry is in the order fullUrl, resource.
type style struct {
	name                  string
	open, between, end    string
	entry                 string
	resourceBeforeFullURL bool
	contentType           string
	around                string // white space around the body of a read
	hold                  int    // bytes held back before an answer leaves; 1 makes it stream
}

var styles = []style{
	{
		name: "compact", open: `{"resourceType":"Bundle","type":"searchset","entry":[`, between: ",", end: "]}",
		entry: `{"fullUrl":"%s","resource":%s,"search":{"mode":"match"}}`, contentType: "application/fhir+json",
	},
	{
		name: "pretty with CRLF", open: "{\r\n  \"resourceType\" : \"Bundle\",\r\n  \"type\" : \"searchset\",\r\n  \"entry\" : [\r\n    ",
		between: ",\r\n    ", end: "\r\n  ]\r\n}\r\n", contentType: "application/fhir+json;charset=UTF-8", around: "\r\n  ",
		entry: "{\r\n      \"fullUrl\" : \"%s\",\r\n      \"resource\" : %s\r\n    }",
	},
	{
		name: "tabs, members in another order, streamed", hold: 1, open: "\n\t{\t\"entry\"\t:\t[\n\n\t", between: "\t\n,\n\n\t",
		end:                   "\t]\n,\"total\":999,\"link\":[{\"relation\":\"self\",\"url\":\"http://inside.example/x\"}],\"id\":\"b\",\"type\":\"searchset\",\"resourceType\":\"Bundle\"\t}\n\n",
		entry:                 "{\"search\":{\"score\":1.00,\"mode\":\"match\"}\t,\"resource\"\t:\t%s\t,\"fullUrl\"\t:\"%s\"}",
		resourceBeforeFullURL: true, contentType: "application/json", around: "\t\n",
	},
}

// rawUpstream is a FHIR server that understands nothing: a read gives the bytes
// of the file, a search all files of the type whatever was asked beyond _id, so
// that the gateway has to find the patient's own among them.
type rawUpstream struct {
	corpus *corpus
	base   fhir.Base
	style  atomic.Int32 // index into styles
}

func (u *rawUpstream) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	base, err := fhir.ParseBase(server.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	u.base = base
	return base.String()
}

func (u *rawUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := styles[u.style.Load()]
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/fhir/"), "/")
	w.Header().Set("Content-Type", s.contentType)
	switch {
	case parts[0] == "metadata":
		_, _ = w.Write(capabilities())
	case len(parts) == 2 && parts[1] != "_search":
		found := u.corpus.byKey[key{parts[0], parts[1]}]
		if found == nil {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found"}]}`))
			return
		}
		_, _ = w.Write([]byte(s.around + string(found.raw) + s.around))
	default:
		_ = r.ParseForm()
		_, _ = w.Write(u.searchset(s, parts[0], r.Form.Get("_id")))
	}
}

func (u *rawUpstream) searchset(s style, typ, id string) []byte {
	var entries []string
	for _, i := range u.corpus.byType[typ] {
		if id != "" && i.ID != id {
			continue
		}
		fullURL := u.base.String() + "/" + i.String()
		args := []any{fullURL, i.raw}
		if s.resourceBeforeFullURL {
			args = []any{i.raw, fullURL}
		}
		entries = append(entries, fmt.Sprintf(s.entry, args...))
	}
	return []byte(s.open + strings.Join(entries, s.between) + s.end)
}

// capabilities says that everything works: whatever Portico asks is answered.
func capabilities() []byte {
	var b strings.Builder
	b.WriteString(`{"resourceType":"CapabilityStatement","status":"active","kind":"instance","date":"2026-01-01","fhirVersion":"4.0.1","format":["json"],"rest":[{"mode":"server","resource":[`)
	for i, typ := range compartment.Types() {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"type":%q,"interaction":[{"code":"read"},{"code":"search-type"}],"searchParam":[{"name":"_id","type":"token"}`, typ)
		for _, p := range search.Params(typ) {
			fmt.Fprintf(&b, `,{"name":%q,"type":%q}`, p.Name, p.Kind)
		}
		b.WriteString("]}")
	}
	b.WriteString("]}]}")
	return []byte(b.String())
}
