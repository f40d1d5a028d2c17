package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/config"
)

// ask sends one request and gives status and body.
func ask(t *testing.T, method, target, bearer, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// operatorOf gives the base and the credential of a server's operator's API.
func (s *serving) operatorOf() (base, credential string) {
	s.t.Helper()
	cfg, err := config.LoadWith(s.path, checks())
	if err != nil {
		s.t.Fatal(err)
	}
	return "http://" + cfg.Admin.Listen, cfg.Admin.Credential.Reveal()
}

func TestNothingOfTheOperatorsAPIWithoutTheCredential(t *testing.T) {
	s := serveApps(t, "")
	base, credential := s.operatorOf()
	paths := []string{"/metrics", "/apps", "/sources", "/readyz", "/explain", "/explain/x", "/explain/ticket", "/", "/nothing", "//metrics", "/apps/../metrics"}
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, bearer := range []string{"", "wrong", credential + "x", credential[:len(credential)-1], "Bearer " + credential} {
				if status, body := ask(t, method, base+path, bearer, "{}"); status != http.StatusUnauthorized || !strings.Contains(body, `"invalid_token"`) {
					t.Errorf("%s %s as %q: %d %s", method, path, bearer, status, body)
				}
			}
		}
	}
	for _, path := range []string{"/", "/nothing", "//metrics"} {
		if status, body := ask(t, http.MethodGet, base+path, credential, ""); status != http.StatusNotFound || !strings.Contains(body, "not_found") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := ask(t, http.MethodGet, base+"/metrics", credential, ""); status != http.StatusOK || !strings.Contains(body, "portico_build_info{") {
		t.Errorf("metrics: %d %.300s", status, body)
	}
	if status, _ := ask(t, http.MethodGet, s.base+"/metrics", credential, ""); status != http.StatusNotFound {
		t.Errorf("the public listener serves metrics: %d", status)
	}
}

func TestMetricsOnAListenerOfTheirOwn(t *testing.T) {
	port := freePort(t)
	s := serveApps(t, fmt.Sprintf("telemetry: {metrics_listen: '127.0.0.1:%d'}\n", port))
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	if status, body := ask(t, http.MethodGet, s.base+"/fhir/demo/Observation", "x", ""); status != http.StatusUnauthorized {
		t.Fatalf("%d %s", status, body)
	}
	status, body := ask(t, http.MethodGet, base+"/metrics", "", "")
	if want := `portico_requests_total{interaction="",source="demo",status="4xx",surface="fhir",type=""} 1`; status != http.StatusOK || !strings.Contains(body, want) {
		t.Errorf("%d, no %s in\n%s", status, want, body)
	}
	for _, path := range []string{"/", "/apps", "/sources", "/explain", "/fhir/demo/metadata"} {
		if status, _ := ask(t, http.MethodGet, base+path, "", ""); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _ := ask(t, http.MethodPost, base+"/metrics", "", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", status)
	}
}
