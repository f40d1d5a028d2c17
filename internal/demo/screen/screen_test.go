package screen_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/internal/demo/screen"
)

// outside is the EHR's FHIR server and the authorization server.
func outside(t *testing.T, status int) (screen.Options, *map[string]any) {
	t.Helper()
	var got map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fhir/Encounter":
			if r.URL.Query().Get("patient") == "p1" {
				_, _ = w.Write([]byte(`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Encounter","id":"e1"}}]}`))
			}
		case "/ehr/launch":
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.Header.Get("Authorization") != "Bearer secret" {
				t.Errorf("launch with %v, %v", r.Header, err)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"launch":"h+1","iss":"http://localhost:8080/fhir/demo"}`))
		}
	}))
	t.Cleanup(srv.Close)
	return screen.Options{
		Name: "Lake <b>", Clinician: "Dr. Doe", User: "Practitioner/d1", Patients: []screen.Patient{{"p1", "Ana <i>"}, {"p2", "Bo"}},
		FHIRBase: srv.URL + "/fhir", LaunchURL: srv.URL + "/ehr/launch", Token: "secret", App: "Pocket", AppURL: "http://localhost:8083/launch.html", ClientID: "app",
	}, &got
}

func post(t *testing.T, o screen.Options, patient string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := screen.Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "http://localhost:8081/launch", strings.NewReader(url.Values{"patient": {patient}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestALaunchOpensTheApp(t *testing.T) {
	for patient, encounter := range map[string]string{"p1": "e1", "p2": ""} {
		o, got := outside(t, http.StatusCreated)
		rec := post(t, o, patient)
		if want := "http://localhost:8083/launch.html?iss=http%3A%2F%2Flocalhost%3A8080%2Ffhir%2Fdemo&launch=h%2B1"; rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != want {
			t.Errorf("%d %s", rec.Code, rec.Header().Get("Location"))
		}
		want := map[string]any{"client_id": "app", "patient": patient, "encounter": encounter, "user": "Practitioner/d1", "need_patient_banner": true, "intent": "show-record"}
		if d := cmp.Diff(want, *got); d != "" {
			t.Errorf("the launch (-want +got):\n%s", d)
		}
	}
}

func TestLaunchesThatCannotBe(t *testing.T) {
	o, _ := outside(t, http.StatusUnauthorized)
	if rec := post(t, o, "p1"); rec.Code != http.StatusBadGateway || !strings.Contains(rec.Body.String(), `role="alert"`) {
		t.Errorf("refused: %d %s", rec.Code, rec.Body)
	}
	if rec := post(t, o, "p3"); rec.Code != http.StatusBadRequest {
		t.Errorf("a patient who is not on the list: %d", rec.Code)
	}
	if rec := post(t, o, "p1", "Sec-Fetch-Site", "cross-site"); rec.Code != http.StatusForbidden {
		t.Errorf("from another site: %d", rec.Code)
	}
}

func TestThePage(t *testing.T) {
	o, _ := outside(t, http.StatusCreated)
	h, err := screen.Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://localhost:8081/", nil))
	for _, want := range []string{"Lake &lt;b&gt;", "Ana &lt;i&gt;", `value="p2"`, `action="/launch"`, "Dr. Doe"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://localhost:8083;") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %s", csp)
	}
}

func TestOnlyOnThisMachine(t *testing.T) {
	for name, change := range map[string]func(o *screen.Options){
		"the EHR elsewhere":     func(o *screen.Options) { o.FHIRBase = "http://ehr.example/fhir" },
		"Portico elsewhere":     func(o *screen.Options) { o.LaunchURL = "https://portico.example/ehr/launch" },
		"the app elsewhere":     func(o *screen.Options) { o.AppURL = "https://app.example/launch" },
		"an address of no host": func(o *screen.Options) { o.AppURL = "/launch" },
		"no credential":         func(o *screen.Options) { o.Token = "" },
		"no patients":           func(o *screen.Options) { o.Patients = nil },
	} {
		o, _ := outside(t, http.StatusCreated)
		change(&o)
		if _, err := screen.Handler(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
