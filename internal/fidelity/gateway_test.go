package fidelity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// door is a gateway in front of an upstream, with everybody's token known: the
// bearer token is the patient's id.
type door struct {
	t    *testing.T
	base string // public FHIR base
	http *http.Client
}

// hold is how many bytes of an answer are held before the first one leaves.
func open(t *testing.T, up *rawUpstream, hold int) *door {
	t.Helper()
	connector, err := fhirserver.New(fhirserver.Options{Base: up.base})
	if err != nil {
		t.Fatal(err)
	}
	all, err := scope.Parse("patient/*.rs")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(bytes.Repeat([]byte("k"), seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := ring.For("pages")
	if err != nil {
		t.Fatal(err)
	}
	files, err := ring.For("files")
	if err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	g, err := gateway.New(gateway.Options{
		PublicURL: server.URL,
		Sources:   []gateway.Source{{ID: "ehr", Name: "EHR", Base: up.base, Upstream: connector, Files: connector}},
		Tokens:    everybody{all},
		Audit:     nowhere{},
		Pages:     pages,
		Files:     files,
		HoldBytes: hold,
		SMART:     func(string) http.Handler { return http.NotFoundHandler() },
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Mount(router)
	return &door{t: t, base: server.URL + "/fhir/ehr", http: server.Client()}
}

type everybody struct{ scopes scope.Set }

func (e everybody) Authenticate(_ context.Context, bearer string) (token.Grant, token.Access, scope.Set, error) {
	if bearer == "" {
		return token.Grant{}, token.Access{}, scope.Set{}, fault.New(fault.Unauthenticated, "no token")
	}
	until := time.Now().Add(time.Hour)
	return token.Grant{ID: "g", Client: "app", Source: "ehr", Patient: bearer, Expires: until}, token.Access{Expires: until}, e.scopes, nil
}

// nowhere takes every event: what is written down is judged by other tests.
type nowhere struct{}

func (nowhere) Record(context.Context, audit.Event) error { return nil }

// get asks as a patient.
func (d *door) get(patient, path string) (status int, body []byte) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, d.base+"/"+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+patient)
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatalf("GET %s: %v", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatalf("GET %s: %v", path, err)
	}
	return resp.StatusCode, body
}

// search gives the resources of a searchset as the bytes they have in it.
func (d *door) search(patient, query string) map[key][]byte {
	d.t.Helper()
	status, body := d.get(patient, query)
	if status != http.StatusOK {
		d.t.Fatalf("GET %s as %s: %d %s", query, patient, status, body)
	}
	var bundle struct {
		ResourceType string
		Link         []struct{ Relation string }
		Entry        []struct {
			FullURL  string
			Resource json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &bundle); err != nil {
		d.t.Fatalf("GET %s: %v", query, err)
	}
	found := map[key][]byte{}
	for _, e := range bundle.Entry {
		var name struct{ ResourceType, ID string }
		if err := json.Unmarshal(e.Resource, &name); err != nil {
			d.t.Fatalf("GET %s: %v", query, err)
		}
		k := key{name.ResourceType, name.ID}
		if found[k] != nil {
			d.t.Errorf("GET %s as %s: %s came twice", query, patient, k)
		}
		if want := d.base + "/" + k.String(); e.FullURL != want {
			d.t.Errorf("GET %s: fullUrl %q, want %q", query, e.FullURL, want)
		}
		found[k] = e.Resource
	}
	return found
}
