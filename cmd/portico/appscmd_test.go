package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// serving is a server started from a configuration file.
type serving struct {
	stop func() // begins its end
	t    *testing.T
	base string
	path string // of the configuration
	http *http.Client
}

func serveApps(t *testing.T, more string) *serving {
	t.Helper()
	t.Setenv("APPS_TEST_ADMIN", strings.Repeat("operator", 5))
	port := freePort(t)
	s := &serving{t: t, base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.path = writeConfig(t, port, fmt.Sprintf("admin: {listen: '127.0.0.1:%d', credential: {env: APPS_TEST_ADMIN}}\n%s", freePort(t), more))
	s.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var log lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve", "-config", s.path}, streams{&log, &log}) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d\n%s", code, log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(log.String(), "Portico is ready") {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready\n%s", log.String())
		}
	}
}

// apps runs `portico apps`.
func (s *serving) apps(args ...string) (code int, out, errs string) {
	s.t.Helper()
	return runFor(s.t, append(append([]string{"apps"}, args...), "-config", s.path)...)
}

// ok runs it and wants it to work.
func (s *serving) ok(args ...string) string {
	s.t.Helper()
	code, out, errs := s.apps(args...)
	if code != 0 {
		s.t.Errorf("apps %v: code %d\n%s\n%s", args, code, out, errs)
	}
	return out
}

func (s *serving) post(path, kind, body, user, password string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// tokenError is what the token endpoint says to a made-up code.
func (s *serving) tokenError(id, secret string) string {
	s.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {"https://app.example/cb"}, "code_verifier": {strings.Repeat("a", 43)}}
	if secret == "" {
		form.Set("client_id", id)
	}
	user := ""
	if secret != "" {
		user = id
	}
	_, raw := s.post("/oauth/token", "application/x-www-form-urlencoded", form.Encode(), user, secret)
	var body struct{ Error string }
	if err := json.Unmarshal([]byte(raw), &body); err != nil {
		s.t.Fatalf("%s: %v", raw, err)
	}
	return body.Error
}

func TestOperatorReviewsAppsOnTheCommandLine(t *testing.T) {
	s := serveApps(t, "registration: {mode: review}\nclients:\n  - {id: configured, name: Configured, type: public, redirect_uris: ['https://app.example/cb']}\n")
	status, raw := s.post("/oauth/register", "application/json", `{"client_name":"New app","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}`, "", "")
	var made struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(raw), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s %v", status, raw, err)
	}
	if out := s.ok("list", "-state", "pending"); !strings.Contains(out, made.ID) || strings.Contains(out, "configured ") || !strings.Contains(out, "New app") {
		t.Errorf("list:\n%s", out)
	}
	if got := s.tokenError(made.ID, ""); got != "invalid_client" {
		t.Errorf("before approval: %s", got)
	}
	if out := s.ok("show", made.ID); !strings.Contains(out, "pending") || !strings.Contains(out, "https://app.example/cb") {
		t.Errorf("show:\n%s", out)
	}
	if out := s.ok("approve", made.ID, "-why", "looked at", "-scopes", "openid patient/*.rs", "-sources", "demo", "-access-lifetime", "10m"); out != "New app ("+made.ID+") is approved.\n" {
		t.Errorf("approve: %s", out)
	}
	if got := s.tokenError(made.ID, ""); got != "invalid_grant" {
		t.Errorf("after approval: %s", got)
	}
	if out := s.ok("show", made.ID); !strings.Contains(out, "looked at") || !strings.Contains(out, "openid patient/*.rs") || !strings.Contains(out, "10m0s") {
		t.Errorf("show:\n%s", out)
	}
	if code, _, errs := s.apps("suspend", made.ID); code != 1 || !strings.Contains(errs, "Say why") {
		t.Errorf("suspend without reason: %d %s", code, errs)
	}
	s.ok("suspend", "-why", "it leaks", made.ID)
	if got := s.tokenError(made.ID, ""); got != "invalid_client" {
		t.Errorf("after suspension: %s", got)
	}
	if out := s.ok("delete", made.ID, "-why", "gone"); !strings.Contains(out, "deleted") {
		t.Errorf("delete: %s", out)
	}
	if out := s.ok("list", "-json"); !json.Valid([]byte(out)) || strings.Contains(out, made.ID) || !strings.Contains(out, `"configured"`) {
		t.Errorf("list:\n%s", out)
	}
	for _, c := range []struct{ args, says string }{
		{"show none", "There is no such app"}, {"suspend configured -why x", "configuration file"}, {"approve none", "There is no such app"},
	} {
		if code, _, errs := s.apps(strings.Fields(c.args)...); code != 1 || !strings.Contains(errs, c.says) {
			t.Errorf("%s: %d %s", c.args, code, errs)
		}
	}
}

func TestOperatorAddsAppsOnTheCommandLine(t *testing.T) {
	s := serveApps(t, "")
	out := s.ok("add", "-type", "confidential", "-id", "mine", "-name", "Mine", "-redirect", "https://app.example/cb", "-contact", "dev@app.example",
		"-logo", "https://app.example/logo.png", "-terms", "https://app.example/tos", "-policy", "https://app.example/policy", "-id-token-alg", "ES256",
		"-launch", "https://app.example/launch", "-owner", "Owner", "-url", "https://app.example/")
	if shown := s.ok("show", "mine"); !strings.Contains(shown, "logo.png") || !strings.Contains(shown, "/tos") || !strings.Contains(shown, "/policy") || !strings.Contains(shown, "/launch") || strings.Contains(shown, "secret  ") {
		t.Errorf("show:\n%s", shown)
	}
	secret := regexp.MustCompile(`secret +(\S{43})\n`).FindStringSubmatch(out)
	if secret == nil || !strings.Contains(out, "shown this once") {
		t.Fatalf("add:\n%s", out)
	}
	if got := s.tokenError("mine", secret[1]); got != "invalid_grant" {
		t.Errorf("with its secret: %s", got)
	}
	fresh := strings.TrimSpace(s.ok("secret", "mine"))
	if s.tokenError("mine", secret[1]) != "invalid_client" || s.tokenError("mine", fresh) != "invalid_grant" {
		t.Error("the secret was not replaced")
	}
	// What was registered lives in the store, its secret does not.
	for _, name := range []string{"portico.sqlite", "portico.sqlite-wal"} {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(s.path), name))
		if err == nil && (bytes.Contains(raw, []byte(fresh)) || bytes.Contains(raw, []byte(secret[1]))) {
			t.Errorf("a secret stands in %s", name)
		}
	}
	// The operator's API is not on the public listener, and takes its credential alone.
	if status, _ := s.post("/apps", "application/json", "{}", "", ""); status != http.StatusNotFound {
		t.Errorf("/apps on the public listener: %d", status)
	}
	if status, _ := s.post("/oauth/register", "application/json", "{}", "", ""); status == http.StatusCreated || status == http.StatusBadRequest {
		t.Errorf("registration is open without being configured: %d", status)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"keys":[{"kty":"EC","crv":"P-384","kid":"a","x":"AA","y":"AA"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"add", "-name", "x"}, 2, "-type"},
		{[]string{"add", "-type", "public", "-name", "x"}, 1, "redirect"},
		{[]string{"add", "-type", "public", "-redirect", "https://app.example/cb"}, 1, "client_name"},
		{[]string{"add", "-type", "key", "-name", "x", "-jwks", keys}, 1, "jwks"},
		{[]string{"add", "-type", "public", "-name", "x", "-redirect", "https://app.example/cb", "-id", "mine"}, 1, "an app of this id"},
		{[]string{"add", "extra"}, 2, "takes no client id"},
		{[]string{"show"}, 2, "needs one client id"},
		{[]string{"show", "a", "b"}, 2, "needs one client id"},
		{[]string{"list", "-state", "odd"}, 1, "pending, approved or suspended"},
		{[]string{"sho"}, 2, `there is no "sho"`},
	} {
		if code, _, errs := s.apps(c.args...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
	if code, _, errs := runFor(t, "apps"); code != 2 || !strings.Contains(errs, "approve") {
		t.Errorf("nothing: %d %s", code, errs)
	}
	if code, _, errs := runFor(t, "apps", "list", "-config", writeConfig(t, 8080, "")); code != 1 || !strings.Contains(errs, "admin section") {
		t.Errorf("no admin section: %d %s", code, errs)
	}
}

func TestServerThatDoesNotRunIsSaidSo(t *testing.T) {
	t.Setenv("APPS_TEST_ADMIN", strings.Repeat("operator", 5))
	path := writeConfig(t, 8080, fmt.Sprintf("admin: {listen: '127.0.0.1:%d', credential: {env: APPS_TEST_ADMIN}}\n", freePort(t)))
	if code, _, errs := runFor(t, "apps", "list", "-config", path); code != 1 || !strings.Contains(errs, "is it running?") {
		t.Errorf("%d %s", code, errs)
	}
}
