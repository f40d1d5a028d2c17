package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
)

// block gives a code block of docs/apps.md by its file name, as a reader would
// copy it.
func block(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/apps.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n```[a-z]+ " + regexp.QuoteMeta(name) + "\n(.*?\n)```\n").FindSubmatch(text)
	if found == nil {
		t.Fatalf("docs/apps.md has no block %s", name)
	}
	return string(found[1])
}

// program runs one with the environment of the demo and gives what it printed.
func (d *running) program(name, code string, env ...string) string {
	d.t.Helper()
	cmd := d.command(name, code, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func (d *running) command(name, code string, env ...string) *exec.Cmd {
	d.t.Helper()
	program := "node"
	if strings.HasSuffix(name, ".sh") {
		program = "bash"
		code = "set -e\n" + code
	}
	path, err := exec.LookPath(program)
	if err != nil {
		missing(d.t, program)
	}
	file := filepath.Join(d.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.CommandContext(d.t.Context(), path, file)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.t.TempDir(), "PORTICO=" + d.url(0), "SOURCE=demo"}, env...)
	return cmd
}

// missing ends a test for want of a program: make test brings it, so there its
// absence is a failure.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("PORTICO_TEST_SERVICES") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("needs make test: %s is not installed", program)
}

// objects reads JSON objects that stand one behind the other.
func objects(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var one map[string]any
		if err := d.Decode(&one); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		out = append(out, one)
	}
	return out
}

func TestAppsDocumentShellBlocksRun(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "curl")
	}
	d := startDemo(t)
	found := objects(t, d.program("discover.sh", block(t, "discover.sh")))
	if len(found) != 1 || found[0]["registration_endpoint"] != d.url(0)+"/oauth/register" {
		t.Errorf("discover.sh: %v", found)
	}
	made := objects(t, d.program("register.sh", block(t, "register.sh")))
	if len(made) != 1 || made[0]["client_secret"] == nil || made[0]["registration_state"] != "approved" {
		t.Fatalf("register.sh: %v", made)
	}
	managed := objects(t, d.program("manage.sh", block(t, "manage.sh"),
		fmt.Sprint("CLIENT_ID=", made[0]["client_id"]), fmt.Sprint("REGISTRATION_TOKEN=", made[0]["registration_access_token"])))
	if len(managed) != 2 || managed[0]["client_name"] != "Example Health" || len(managed[1]["redirect_uris"].([]any)) != 2 { //nolint:errcheck,forcetypeassert // a test
		t.Errorf("manage.sh: %v", managed)
	}
	// A refusal, and what why.sh tells of it.
	res, err := http.PostForm(d.url(0)+"/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {"my-app"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var refused struct {
		URI string `json:"error_uri"`
	}
	if err := json.NewDecoder(res.Body).Decode(&refused); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(refused.URI)
	if err != nil {
		t.Fatal(err)
	}
	if out := d.program("why.sh", block(t, "why.sh"), "REFERENCE="+u.Query().Get("reference")); !strings.Contains(out, `"endpoint":"token"`) {
		t.Errorf("why.sh: %s", out)
	}
}

func TestAppsDocumentProgramsRun(t *testing.T) {
	if os.Getenv("PORTICO_TEST_SERVICES") == "" {
		t.Skip("needs make test")
	}
	d := startDemo(t)
	out := d.program("service.mjs", block(t, "service.mjs"))
	for _, want := range []string{"registered 201", "approved", "checked true", "token 200 system/Patient.rs"} {
		if !strings.Contains(out, want) {
			t.Errorf("service.mjs: no %q in\n%s", want, out)
		}
	}
	port := freePort(t)
	app := d.command("app.mjs", block(t, "app.mjs"), fmt.Sprint("PORT=", port))
	var said bytes.Buffer
	app.Stdout, app.Stderr = &said, &said
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = app.Process.Kill()
		_ = app.Wait()
	})
	home := fmt.Sprintf("http://localhost:%d/", port)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(home)
		if err == nil {
			_ = res.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("app.mjs does not answer: %v\n%s", err, said.String())
		}
	}
	b := newBrowser(t, "http://nowhere.example/")
	b.do(http.MethodGet, home, nil).signIn("alice").allow()
	if b.last.StatusCode != http.StatusOK || !strings.HasPrefix(b.body, "Hello Alice") || !strings.Contains(b.body, "patient/Observation.rs") {
		t.Errorf("app.mjs: %d %s", b.last.StatusCode, b.body)
	}
}

func TestAppsDocumentConfigurationLoads(t *testing.T) {
	cfg, err := config.Load(writeConfig(t, 8080, block(t, "clients.yaml")))
	if err != nil || len(cfg.Clients) != 1 || cfg.Clients[0].ID != "example-health" {
		t.Errorf("%v, %v", cfg, err)
	}
}

var word = regexp.MustCompile(`"([^"]*)"|(\S+)`)

func TestAppsDocumentOperatorBlockRuns(t *testing.T) {
	s := serveApps(t, "")
	for line := range strings.Lines(block(t, "operator.sh")) {
		var args []string
		for _, m := range word.FindAllStringSubmatch(line, -1) {
			args = append(args, m[1]+m[2])
		}
		if len(args) < 3 || args[0] != "portico" || args[1] != "apps" {
			t.Fatalf("the line %q", line)
		}
		s.ok(args[2:]...)
	}
	if out := s.ok("list"); !strings.Contains(out, "approved  example-health") || strings.Contains(out, "pocket") {
		t.Errorf("at the end:\n%s", out)
	}
}
