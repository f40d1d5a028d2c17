package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// This file is who uses a deployment in the load tests, and what each of them is
// to get: stated from how the records were made, never from what Portico says.

const (
	crowdCategory = "http://terminology.hl7.org/CodeSystem/observation-category"
	crowdLabs     = 6
	crowdVitals   = 3
)

// crowdScopes are the rights that apps have, by a name for them, beside reading
// the Patient.
var crowdScopes = map[string]string{
	"all":        "patient/Observation.rs patient/Condition.rs patient/Observation.cud",
	"labs":       "patient/Observation.rs?category=" + crowdCategory + "|laboratory",
	"conditions": "patient/Condition.rs",
}

// ward is one EHR of the crowd. All wards have the same ids: what tells their
// resources apart stands inside them.
type ward struct {
	name    string
	server  *httptest.Server
	inside  *ehr.Server
	want    map[string]string // the bytes of each resource that never changes, by id
	diaries map[string]*diary // by patient
}

// diary is the one Observation of a patient that changes. Its number only grows.
type diary struct{ begun, known atomic.Int64 }

func newWard(t *testing.T, name string, patients []string) *ward {
	t.Helper()
	w := &ward{name: name, inside: ehr.New(ehr.Options{}), want: map[string]string{}, diaries: map[string]*diary{}}
	w.server = httptest.NewServer(w.inside)
	t.Cleanup(w.server.Close)
	for _, p := range patients {
		w.diaries[p] = &diary{}
		rows := map[string]string{"Patient/" + p: fmt.Sprintf(`{"resourceType":"Patient","id":%q,"active":true,"name":[{"text":"of %s %s."}]}`, p, name, p)}
		for i := range crowdLabs {
			rows[fmt.Sprintf("Observation/%s-lab-%d", p, i)] = w.observation(p, fmt.Sprintf("lab-%d", i), "laboratory", int64(i))
		}
		for i := range crowdVitals {
			rows[fmt.Sprintf("Observation/%s-vital-%d", p, i)] = w.observation(p, fmt.Sprintf("vital-%d", i), "vital-signs", int64(i))
		}
		rows["Condition/"+p+"-con"] = fmt.Sprintf(`{"resourceType":"Condition","id":"%[1]s-con","code":{"text":"of %[2]s %[1]s."},"subject":{"reference":"Patient/%[1]s"}}`, p, name)
		for id, raw := range rows {
			w.load(t, raw)
			w.want[id] = w.ask(t, http.MethodGet, "/"+id, "")
		}
		w.load(t, w.observation(p, "diary", "survey", 0))
		w.ask(t, http.MethodPut, "/Observation/"+p+"-diary", w.observation(p, "diary", "survey", 0)) // so that it has a version
	}
	return w
}

func (w *ward) observation(patient, id, category string, n int64) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":"%[1]s-%[2]s","status":"final","category":[{"coding":[{"system":"%[3]s","code":"%[4]s"}]}],`+
		`"code":{"text":"of %[5]s %[1]s."},"subject":{"reference":"Patient/%[1]s"},"performer":[{"reference":"Patient/%[1]s"}],"valueInteger":%[6]d}`,
		patient, id, crowdCategory, category, w.name, n)
}

func (w *ward) load(t *testing.T, raw string) {
	t.Helper()
	if err := w.inside.Load([]byte(raw)); err != nil {
		t.Fatal(err)
	}
}

// ask asks the EHR itself.
func (w *ward) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/fhir"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/fhir+json")
	r.Host = strings.TrimPrefix(w.server.URL, "http://")
	answer := httptest.NewRecorder()
	w.inside.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		t.Fatalf("%s at the EHR: %d %s", method, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// member is one app's access to one record, with some rights.
type member struct {
	ward                 *ward
	patient, app, scopes string
	other                string // another patient of the ward
	now                  atomic.Pointer[credential]
}

// credential is an access token, and how far it is on its way to be none.
type credential struct {
	tokens
	revoking, revoked atomic.Bool // the one before it is asked for, the other when that has been acknowledged
}

// question is a request and what is to come of it.
type question struct {
	path   string
	status int
	ids    []string // of the resources with fixed bytes; what is asked by id has one
	diary  bool     // the diary is to be there too
}

// questions are what a member asks: what it may have and what it must not.
func (m *member) questions() []question {
	p := m.patient
	var labs, vitals []string
	for id := range m.ward.want {
		switch {
		case strings.HasPrefix(id, "Observation/"+p+"-lab-"):
			labs = append(labs, id)
		case strings.HasPrefix(id, "Observation/"+p+"-vital-"):
			vitals = append(vitals, id)
		}
	}
	lab, vital, con := "/Observation/"+p+"-lab-0", "/Observation/"+p+"-vital-0", []string{"Condition/" + p + "-con"}
	out := []question{
		{"/Patient/" + p, 200, []string{"Patient/" + p}, false},
		{"/Patient/" + m.other, 404, nil, false},
	}
	switch m.scopes {
	case "all":
		return append(out, question{"/Observation?_count=100", 200, slices.Concat(labs, vitals), true},
			question{"/Observation?category=laboratory&_count=100", 200, labs, false}, question{"/Observation/" + p + "-diary", 200, nil, true},
			question{"/Observation?category=survey", 200, nil, true}, question{"/Observation?category=" + crowdCategory + "|vital-signs,survey", 200, vitals, true},
			question{vital, 200, []string{vital[1:]}, false}, question{"/Condition?_count=100", 200, con, false},
			question{"/Observation/" + m.other + "-lab-0", 404, nil, false}, question{"/Observation?patient=" + m.other, 403, nil, false})
	case "labs":
		return append(out, question{"/Observation?_count=100", 200, labs, false}, question{"/Observation?category=laboratory&_count=100", 200, labs, false},
			question{"/Observation/" + p + "-diary", 404, nil, false}, question{"/Observation?category=survey", 200, nil, false},
			question{vital, 404, nil, false}, question{lab, 200, []string{lab[1:]}, false}, question{"/Condition?_count=100", 403, nil, false})
	default:
		return append(out, question{"/Observation?_count=100", 403, nil, false}, question{lab, 403, nil, false},
			question{"/Condition?_count=100", 200, con, false}, question{"/Observation/" + p + "-diary", 403, nil, false})
	}
}

// crowdMark finds whose a resource says it is.
var crowdMark = regexp.MustCompile(`of ([a-z]+) (p[0-9]+)\.`)

// judge says what is wrong with an answer; "" when nothing is. The diary must
// tell of known, which had been acknowledged before the request was sent, or of
// something later that had begun by its end.
func (m *member) judge(q question, status int, body []byte, known, begun int64) string {
	for _, mark := range crowdMark.FindAllSubmatch(body, -1) {
		if string(mark[1]) != m.ward.name || string(mark[2]) != m.patient {
			return fmt.Sprintf("something %s is in it", mark[0])
		}
	}
	switch {
	case status != q.status:
		return fmt.Sprintf("%d, not %d: %.300s", status, q.status, body)
	case status != http.StatusOK && resourceType(body) != "OperationOutcome":
		return "an error that is no OperationOutcome"
	case status != http.StatusOK:
		return ""
	}
	given, err := resourcesIn(body)
	if err != nil {
		return err.Error()
	}
	if raw, there := given["Observation/"+m.patient+"-diary"]; there != q.diary {
		return fmt.Sprintf("the diary is there: %v", there)
	} else if there {
		var d struct{ ValueInteger int64 }
		if err := json.Unmarshal(raw, &d); err != nil || d.ValueInteger < known || d.ValueInteger > begun {
			return fmt.Sprintf("the diary says %d, where %d was known before and %d is the latest", d.ValueInteger, known, begun)
		}
		delete(given, "Observation/"+m.patient+"-diary")
	}
	for _, id := range q.ids {
		if string(given[id]) != m.ward.want[id] {
			return fmt.Sprintf("%s is not as the EHR has it, or not there", id)
		}
		delete(given, id)
	}
	if len(given) > 0 {
		return fmt.Sprintf("also there: %v", slices.Collect(maps.Keys(given)))
	}
	return ""
}

func resourceType(raw []byte) string {
	var r struct{ ResourceType string }
	_ = json.Unmarshal(raw, &r) // what cannot be read has no type
	return r.ResourceType
}

// resourcesIn gives the resources of a Bundle, or the one that it is.
func resourcesIn(body []byte) (map[string][]byte, error) {
	out, all := map[string][]byte{}, []json.RawMessage{body}
	if resourceType(body) == "Bundle" {
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, err
		}
		all = nil
		for _, e := range p.Entry {
			all = append(all, e.Resource)
		}
	}
	for _, raw := range all {
		var r struct{ ResourceType, ID string }
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, err
		}
		id := r.ResourceType + "/" + r.ID
		if out[id] != nil {
			return nil, fmt.Errorf("%s is there twice", id)
		}
		out[id] = bytes.TrimSpace(raw)
	}
	return out, nil
}
