package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/internal/services"
)

func TestPurgeByTheOperatorAndNotificationByTheEHR(t *testing.T) {
	s := serveApps(t, "cache: {ttl: 1m}\n")
	base, credential := s.operatorOf()
	for name, row := range map[string]struct {
		bearer, body string
		status       int
	}{
		"no credential":       {"", `{"source":"demo"}`, 401},
		"an unknown source":   {credential, `{"source":"elsewhere"}`, 404},
		"no source":           {credential, `{}`, 404},
		"a patient that none": {credential, `{"source":"demo","patient":"../x"}`, 400},
		"an unknown member":   {credential, `{"source":"demo","all":true}`, 400},
		"no JSON":             {credential, `source=demo`, 400},
		"a patient":           {credential, `{"source":"demo","patient":"123"}`, 200},
		"everybody":           {credential, `{"source":"demo"}`, 200},
	} {
		if status, body := ask(t, http.MethodPost, base+"/cache/purge", row.bearer, row.body); status != row.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _ := ask(t, http.MethodPost, s.base+"/cache/purge", credential, `{"source":"demo"}`); status != http.StatusNotFound {
		t.Errorf("the public listener purges: %d", status)
	}
	code, out, errs := runFor(t, "cache", "purge", "-source", "demo", "-patient", "123", "-config", s.path)
	if code != 0 || !strings.Contains(out, "forgotten") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, _, errs := runFor(t, "cache", "purge", "-source", "elsewhere", "-config", s.path); code != 1 || !strings.Contains(errs, "no source \"elsewhere\"") {
		t.Errorf("%d %q", code, errs)
	}
	if code, out, errs := runFor(t, "cache", "purge", "-config", s.path); code != 0 || !strings.Contains(out, "everybody at demo") {
		t.Errorf("without a source, where there is one: %d %q %q", code, out, errs)
	}
	for _, args := range [][]string{{"cache"}, {"cache", "nonsense"}, {"cache", "purge", "demo", "-config", s.path}, {"cache", "purge", "-nonsense"}} {
		if code, _, errs := runFor(t, args...); code != 2 || errs == "" {
			t.Errorf("%v: %d %q", args, code, errs)
		}
	}
	for _, name := range []string{"cache", "sources", "explain", "keys", "apps"} {
		if code, out, errs := runFor(t, name, "-h"); code != 0 || !strings.HasPrefix(out, "Usage:") || errs != "" {
			t.Errorf("%s -h: %d %q %q", name, code, out, errs)
		}
	}
	// The source takes no notifications, so the URL is not there.
	if status, _ := ask(t, http.MethodPost, s.base+"/notify/demo", strings.Repeat("x", 32), ""); status != http.StatusNotFound {
		t.Errorf("notify: %d", status)
	}
}

func TestWithoutACacheThereIsNothingToPurge(t *testing.T) {
	s := serveApps(t, "")
	base, credential := s.operatorOf()
	if status, body := ask(t, http.MethodPost, base+"/cache/purge", credential, `{"source":"demo"}`); status != http.StatusNotFound || !strings.Contains(body, "no cache section") {
		t.Errorf("%d %s", status, body)
	}
}

func TestReadyzTellsOfRedis(t *testing.T) {
	r := services.StartRedis(t)
	s := serveApps(t, fmt.Sprintf("cache: {ttl: 1m}\nredis: {addresses: [%q]}\n", r.Addr))
	status, body := ask(t, http.MethodGet, s.base+"/readyz", "", "")
	if status != http.StatusOK || strings.Contains(body, "redis") {
		t.Errorf("%d %s", status, body)
	}
	r.Kill(t)
	status, body = ask(t, http.MethodGet, s.base+"/readyz", "", "")
	if status != http.StatusOK || !strings.Contains(body, "redis") {
		t.Errorf("%d %s", status, body)
	}
}

// Whatever decides whose records a source's are tells them apart in Redis.
func TestOriginsTellServersAndTenantsApart(t *testing.T) {
	is := config.Source{ID: "main", FHIRBase: "https://ehr.example.org/fhir", Profile: "generic"}
	was := originsOf([]config.Source{is})("main")
	if was == "" || was != originsOf([]config.Source{is})("main") {
		t.Fatal("it is not told apart, or not the same twice")
	}
	for name, change := range map[string]func(*config.Source){
		"another server":      func(s *config.Source) { s.FHIRBase = "https://ehr.example.org/fhir2" },
		"another tenant":      func(s *config.Source) { s.Headers = []config.Header{{Name: "X-Tenant", Value: config.NewSecret("b")}} },
		"another client":      func(s *config.Source) { s.Auth.ClientID = "b" },
		"another user":        func(s *config.Source) { s.Auth.Username = "b" },
		"another token":       func(s *config.Source) { s.Auth.Token = config.NewSecret("b") },
		"another certificate": func(s *config.Source) { s.TLS.CertFile = "b.pem" },
	} {
		now := is
		change(&now)
		if originsOf([]config.Source{now})("main") == was {
			t.Errorf("%s: it is taken for the same", name)
		}
	}
}
