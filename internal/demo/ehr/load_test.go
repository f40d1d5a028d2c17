package ehr_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestLoadRefusesWhatCannotBeServed(t *testing.T) {
	server := ehr.New(ehr.Options{})
	for name, raw := range map[string]string{
		"no JSON":         `{"resourceType":"Patient"`,
		"two values":      `{"resourceType":"Patient","id":"a"}{}`,
		"duplicate names": `{"resourceType":"Patient","id":"a","id":"secretname"}`,
		"bad UTF-8":       "{\"resourceType\":\"Patient\",\"id\":\"a\",\"x\":\"\xff\"}",
		"no type":         `{"id":"a"}`,
		"no R4 type":      `{"resourceType":"Colour","id":"a"}`,
		"no id":           `{"resourceType":"Patient"}`,
		"a malformed id":  `{"resourceType":"Patient","id":"secretname/"}`,
	} {
		if err := server.Load([]byte(raw)); err == nil || strings.Contains(err.Error(), "secretname") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if server.Len() != 0 {
		t.Errorf("%d were kept", server.Len())
	}
}

func TestLoadKeepsACopyAndVersions(t *testing.T) {
	h := open(t, ehr.Options{})
	raw := []byte(`{"resourceType":"Patient","id":"amy","active":false}`)
	if err := h.server.Load(raw); err != nil {
		t.Fatal(err)
	}
	copy(raw, strings.Repeat("x", len(raw)))
	if got := h.get("Patient/amy").want(200); got.header.Get("ETag") != `W/"2"` || string(got.body) != `{"resourceType":"Patient","id":"amy","active":false}` {
		t.Errorf("%s %s", got.header.Get("ETag"), got.body)
	}
	if got := h.get("Patient/amy/_history/1").want(200); string(got.body) != known(t, "Patient/amy") {
		t.Errorf("%s", got.body)
	}
}

func TestLoadNDJSONKeepsTheOrderAndNamesTheLine(t *testing.T) {
	const n = 3000
	var in bytes.Buffer
	for i := range n {
		fmt.Fprintf(&in, "%s{\"resourceType\":\"Basic\",\"id\":\"b%d\"}\r\n", strings.Repeat("\n", i%3), i)
	}
	server := ehr.New(ehr.Options{MaxPage: n})
	if got, err := server.LoadNDJSON(t.Context(), bytes.NewReader(in.Bytes())); got != n || err != nil {
		t.Fatal(got, err)
	}
	b := serve(t, server).get(fmt.Sprintf("Basic?_count=%d", n)).bundle()
	for i, e := range b.Entry {
		if nameOf(e.Resource) != fmt.Sprintf("Basic/b%d", i) {
			t.Fatalf("row %d is %s", i, nameOf(e.Resource))
		}
	}
	lines := strings.Repeat("{\"resourceType\":\"Basic\",\"id\":\"b\"}\n", 700)
	_, err := server.LoadNDJSON(t.Context(), strings.NewReader(lines+"\n{\"id\":1}\n"+lines))
	if err == nil || !strings.HasPrefix(err.Error(), "line 702: ") {
		t.Errorf("error %v", err)
	}
}

func TestLoadFilesNamesTheFile(t *testing.T) {
	server := ehr.New(ehr.Options{})
	files := fstest.MapFS{
		"Basic.ndjson": {Data: []byte(`{"resourceType":"Basic","id":"b"}`)},
		"LICENSE.txt":  {Data: []byte("words")},
	}
	seen := ""
	if err := server.LoadFiles(t.Context(), files, func(name string, n int) { seen += fmt.Sprint(name, n) }); err != nil || seen != "Basic.ndjson1" {
		t.Errorf("%v, %s", err, seen)
	}
	files["Bad.ndjson"] = &fstest.MapFile{Data: []byte("\n{")}
	if err := server.LoadFiles(t.Context(), files, nil); err == nil || !strings.Contains(err.Error(), "Bad.ndjson: line 2: ") {
		t.Errorf("%v", err)
	}
	if err := server.LoadFiles(t.Context(), fstest.MapFS{}, nil); err == nil {
		t.Error("no files is no error")
	}
}

// TestSampleRecordsAreServedAsTheyAre uses records that a developer's machine
// may have; dangling references and all.
func TestSampleRecordsAreServedAsTheyAre(t *testing.T) {
	const dir = "../../../../shared/data/records"
	if _, err := os.Stat(dir); err != nil {
		t.Log("there are no sample records on this machine")
		return
	}
	server := ehr.New(ehr.Options{})
	files := os.DirFS(dir)
	if err := server.LoadFiles(t.Context(), files, nil); err != nil {
		t.Fatal(err)
	}
	h := serve(t, server)
	names, _ := fs.Glob(files, "*.ndjson")
	count := 0
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			count++
			if got := h.get(nameOf(line)).want(http.StatusOK); !bytes.Equal(got.body, line) {
				t.Errorf("%s of %s has changed", nameOf(line), name)
			}
		}
		typ := strings.TrimSuffix(name, ".ndjson")
		if got := *h.get(typ + "?_summary=count").bundle().Total; got == 0 {
			t.Errorf("no %s is found", typ)
		}
		h.get(typ + "?_sort=-_lastUpdated&_count=2&_revinclude=Provenance:target").bundle()
	}
	if count != server.Len() {
		t.Errorf("%d records, %d resources", count, server.Len())
	}
	for _, row := range h.get("Patient?_count=1000").bundle().rows("match") {
		all := h.get(row + "/$everything").bundle()
		got := h.get("Observation?subject=" + row + "&_summary=count").bundle()
		inAll := 0
		for _, e := range all.rows("match") {
			if strings.HasPrefix(e, "Observation/") {
				inAll++
			}
		}
		if inAll < *got.Total {
			t.Errorf("%s: $everything has %d observations, a search %d", row, inAll, *got.Total)
		}
	}
}
