package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOperatorAsksHowARequestIsDecided(t *testing.T) {
	s := serveApps(t, "")
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := runFor(t, append(args, "-config", s.path)...)
		if code != want {
			t.Errorf("%v: code %d, want %d\n%s\n%s", args, code, want, out, errs)
		}
		return out, errs
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("no-good-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	explain := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, errs := runFor(t, append([]string{"explain", args[0], "-config", s.path}, args[1:]...)...)
		if code != want {
			t.Errorf("%v: code %d, want %d\n%s\n%s", args, code, want, out, errs)
		}
		return out, errs
	}
	out, _ := explain(0, "request", "-source", "demo", "-token-file", token, "/Observation?code=1")
	if !strings.Contains(out, "401") || !strings.Contains(out, "after authenticate") || strings.Contains(out, "no-good-token") {
		t.Errorf("%s", out)
	}
	if out, _ = explain(0, "request", "-source", "demo", "-json", "/Observation"); !strings.Contains(out, `"ended": "authenticate"`) {
		t.Errorf("%s", out)
	}
	if _, errs := explain(1, "request", "-source", "demo", "-method", "DELETE", "/Observation/1"); !strings.Contains(errs, "would be done") {
		t.Errorf("%s", errs)
	}
	if _, errs := explain(1, "request", "-source", "nowhere", "/Observation"); !strings.Contains(errs, `no source "nowhere"`) {
		t.Errorf("%s", errs)
	}
	// There is one source, and options may stand behind the path.
	if out, _ = explain(0, "request", "/Observation", "-json"); !strings.Contains(out, `"source": "demo"`) {
		t.Errorf("%s", out)
	}
	explain(2, "request")
	explain(2, "request", "/Observation", "/Condition")
	explain(2, "ticket", "more")
	explain(2, "nonsense")
	out, _ = explain(0, "ticket", "-source", "demo", "-for", "5m")
	name, ticket, _ := strings.Cut(strings.TrimSpace(out), ": ")
	if name != "Portico-Explain" || len(ticket) < 30 {
		t.Fatalf("%q", out)
	}
	if _, errs := explain(1, "ticket", "-source", "demo", "-for", "5h"); !strings.Contains(errs, "15 minutes") {
		t.Errorf("%s", errs)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/fhir/demo/Observation", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(name, ticket)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if out, _ = explain(0, "show", resp.Header.Get("X-Request-Id")); !strings.Contains(out, "401") {
		t.Errorf("%s", out)
	}
	if _, errs := explain(1, "show", "0123"); !strings.Contains(errs, "Nothing waits") {
		t.Errorf("%s", errs)
	}
	if out, _ = run(0, "sources", "status"); !strings.Contains(out, "demo") || !strings.Contains(out, "BREAKER") {
		t.Errorf("%s", out)
	}
	if out, _ = run(0, "sources", "status", "-json"); !strings.Contains(out, `"id": "demo"`) || !strings.Contains(out, `"breaker"`) {
		t.Errorf("%s", out)
	}
	run(2, "sources")
	base, credential := s.operatorOf()
	if status, body := ask(t, http.MethodGet, base+"/readyz", credential, ""); status != http.StatusOK || !strings.Contains(body, `"ready": true`) || !strings.Contains(body, `"name": "store"`) {
		t.Errorf("%d %s", status, body)
	}
	for _, body := range []string{"", "[]", `{"source":1}`, strings.Repeat("x", 70<<10)} {
		if status, said := ask(t, http.MethodPost, base+"/explain", credential, body); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
			t.Errorf("%.20q: %d %s", body, status, said)
		}
	}
}
