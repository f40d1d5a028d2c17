package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/portico-fhir/portico/config"
)

var update = flag.Bool("update", false, "write the expected messages anew")

const sealKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// TestEveryMistakeIsToldWithPlaceAndRemedy loads each broken file and compares
// the whole text that an operator would see.
func TestEveryMistakeIsToldWithPlaceAndRemedy(t *testing.T) {
	t.Setenv("CONFIG_TEST_SEAL_KEY", sealKey)
	t.Setenv("CONFIG_TEST_SHORT", "hunter2")
	t.Setenv("CONFIG_TEST_EMPTY", "")
	t.Setenv("CONFIG_TEST_POSTGRES", "postgres://portico:hunter2@localhost/portico")
	t.Setenv("CONFIG_TEST_POSTGRES_FAR", "postgres://portico:hunter2@db.example.org/portico")
	t.Setenv("CONFIG_TEST_POSTGRES_BAD", "postgres://portico:hunter2/%zz@db.example.org/portico")
	t.Setenv("CONFIG_TEST_LINES", "hunter2\nhunter3")
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := config.Load(file)
			if err == nil {
				t.Fatal("accepted")
			}
			var problems *config.Error
			if !errors.As(err, &problems) {
				t.Fatalf("not a list of problems: %v", err)
			}
			for _, p := range problems.Problems {
				if p.File != file || p.Line < 1 || p.Column < 1 || p.Text == "" {
					t.Errorf("a problem without its place: %#v", p)
				}
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Error("the message holds a secret")
			}
			got := filepath.ToSlash(err.Error()) + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	for _, path := range []string{"testdata/none.yaml", "testdata"} {
		if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// example puts docs/portico.example.yaml, with all it refers to, into a folder.
func example(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile("../docs/portico.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"portico.yaml": string(data), "secrets/seal_key": sealKey + "\n", "secrets/seal_key_before": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDI=", "secrets/idp_client": "idp-secret\r\n",
		"secrets/south_token": "south-token", "secrets/east_client": "east-secret", "secrets/coast_keys.pem": "x",
		"tls/east_ca.pem": "x", "tls/east_client.crt": "x", "tls/east_client.key": "x", "secrets/redis": "redis-password", "secrets/north_notify": strings.Repeat("notify", 8), "tls/redis-ca.pem": "x", "secrets/admin": strings.Repeat("admin", 8), "secrets/collector": "Bearer collector", "secrets/north_launch": strings.Repeat("launch-token", 4), "tls/portico.crt": "x", "tls/portico.key": "x", "secrets/key-app.jwks.json": "{}", "profiles/our-ehr.yaml": "name: our-ehr",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NORTH_EHR_PASSWORD", "north-password")
	t.Setenv("EAST_API_KEY", "east-key")
	t.Setenv("MY_HEALTH_APP_SECRET", strings.Repeat("app-secret", 4))
	return filepath.Join(dir, "portico.yaml")
}

func TestExampleFileLoads(t *testing.T) {
	path := example(t)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.TLS.CertFile; got != filepath.Join(filepath.Dir(path), "tls", "portico.crt") {
		t.Errorf("cert_file is not relative to the file: %s", got)
	}
	if c.Tokens.GrantLifetime != 3*365*24*time.Hour || c.Tokens.RefreshLifetime != 92*24*time.Hour {
		t.Errorf("grant_lifetime %v", c.Tokens.GrantLifetime)
	}
	if got := c.IdentityProviders[0].ClientSecret.Reveal(); got != "idp-secret" {
		t.Errorf("a line break at the end of a secret's file counted: %q", got)
	}
	if got := c.Sources[0].Auth.Password.Reveal(); got != "north-password" {
		t.Errorf("password %q", got)
	}
	if s := c.Sources[1]; s.Timeout != 30*time.Second || s.MaxPageSize != 100 || s.PatientFrom.System != "https://south.example.org/mrn" {
		t.Errorf("source without limits: %+v", s)
	}
	if key, err := c.SealKeyBytes(); err != nil || len(key) != 32 {
		t.Errorf("seal key: %v", err)
	}
	if fmt.Sprint(c.TrustedProxies) != "[10.0.0.5/32 fd00:1::/64]" {
		t.Errorf("trusted proxies: %v", c.TrustedProxies)
	}
}

func TestExampleFileHasEveryKey(t *testing.T) {
	file, err := parser.ParseFile("../docs/portico.example.yaml", 0)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	collect("", file.Docs[0].Body, shown)
	// What cannot stand beside something else stands there as a comment.
	text, err := os.ReadFile("../docs/portico.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for key, line := range map[string]string{
		"store.postgres": "  # postgres:\n", "store.postgres.url": "  #   url: ", "store.postgres.max_connections": "  #   max_connections: ",
	} {
		shown[key] = strings.Contains(string(text), line)
	}
	for _, key := range keys("", reflect.TypeFor[config.Config]()) {
		if !shown[key] {
			t.Errorf("%s is not in the example", key)
		}
	}
}

func collect(path string, n ast.Node, out map[string]bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			key := strings.TrimPrefix(path+"."+v.Key.GetToken().Value, ".")
			out[key] = true
			collect(key, v.Value, out)
		}
	case *ast.SequenceNode:
		for _, v := range n.Values {
			collect(path+"[]", v, out)
		}
	}
}

func keys(path string, t reflect.Type) []string {
	var out []string
	switch t.Kind() {
	case reflect.Pointer:
		return keys(path, t.Elem())
	case reflect.Slice:
		return keys(path+"[]", t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
				key := strings.TrimPrefix(path+"."+tag, ".")
				out = append(append(out, key), keys(key, t.Field(i).Type)...)
			}
		}
	}
	return out
}

const minimal = `public_url: http://localhost:8080
store: {sqlite: p.sqlite}
seal_key: {env: CONFIG_TEST_SEAL_KEY}
identity_providers:
  - {id: idp, issuer: http://localhost:8082, client_id: portico}
sources:
  - {id: demo, name: Demo, fhir_base: http://localhost:8081/fhir}
`

func load(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	t.Setenv("CONFIG_TEST_SEAL_KEY", sealKey)
	path := filepath.Join(t.TempDir(), "portico.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(path)
}

func TestDefaults(t *testing.T) {
	c, err := load(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Sources[0]
	if c.Listen != "127.0.0.1:8080" || c.Tokens.AccessLifetime != 15*time.Minute || c.Sessions.Idle != 30*time.Minute ||
		s.IdentityProvider != "idp" || s.Auth.Type != config.AuthNone || s.PatientFrom.Claim != "fhirUser" ||
		s.PatientFrom.As != config.AsReference || c.IdentityProviders[0].Name != "idp" || c.Log.Level != "info" || c.TLS != nil {
		t.Errorf("%+v", c)
	}
}

// TestCombinationsThatWork keeps the checks from refusing what is right.
func TestCombinationsThatWork(t *testing.T) {
	for name, edit := range map[string][2]string{
		"plain http on an open port, said so":       {"http://localhost:8080", "http://portico.test:8080\nlisten: :8080\ninsecure_plain_http: true"},
		"a proxy on this machine":                   {"http://localhost:8080", "https://portico.test\ntrusted_proxies: [127.0.0.1]"},
		"a proxy elsewhere":                         {"http://localhost:8080", "https://portico.test\nlisten: 0.0.0.0:80\ninsecure_plain_http: true\ntrusted_proxies: [10.0.0.0/8]"},
		"IPv6 loopback":                             {"http://localhost:8080", "http://[::1]:8080\nlisten: '[::1]:8080'"},
		"an issuer with a slash at its end":         {"http://localhost:8082", "https://tenant.example/"},
		"an EHR in the clear, said so":              {"name: Demo, fhir_base: http://localhost:8081/fhir", "name: Demo, fhir_base: 'http://ehr.lan:8081/fhir', insecure_plain_http: true"},
		"a patient id in a claim":                   {"name: Demo,", "name: Demo, patient_from: {claim: patient},"},
		"an app for devices with a scheme and port": {"store:", "clients:\n  - {id: a.b, name: A, type: public, any_loopback_port: true, redirect_uris: ['http://127.0.0.1/cb', 'http://localhost:9/cb', 'org.example.app:/cb']}\nstore:"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(minimal, edit[0], edit[1], 1)
			if text == minimal {
				t.Fatal("the edit found nothing to change")
			}
			if _, err := load(t, text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecretNeverShowsItself(t *testing.T) {
	s := config.NewSecret("hunter2")
	type foreign struct{ hidden config.Secret }
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		fmt.Fprintf(&text, verb+"\n", s)
		fmt.Fprintf(&text, verb+"\n", &s)
		fmt.Fprintf(&text, verb+"\n", foreign{s})
		fmt.Fprintf(&text, verb+"\n", config.Config{SealKey: s})
		fmt.Fprintf(&text, verb+"\n", []any{s, map[string]config.Secret{"x": s}})
	}
	for _, log := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(log).Info("x", "secret", s, "config", config.Config{SealKey: s}, "foreign", foreign{s})
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		for _, v := range []any{s, &s, config.Config{SealKey: s}, map[string]any{"x": s}} {
			b, err := marshal(v)
			if err != nil {
				t.Error(err)
			}
			if !strings.Contains(string(b), "[hidden]") {
				t.Errorf("no sign of the secret in %s", b)
			}
			text.Write(b)
		}
	}
	if regexp.MustCompile(`(?i)hunter2|68756e74657232|104 117 110`).MatchString(text.String()) {
		t.Errorf("the secret is in the output:\n%s", text.String())
	}
	if got := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); got != "[hidden] [hidden] [hidden] [hidden]" {
		t.Error(got)
	}
	if s.Reveal() != "hunter2" || s.IsZero() || !(config.Secret{}).IsZero() || (config.Secret{}).Reveal() != "" {
		t.Error("the secret lost its value")
	}
	if !s.Equal(config.NewSecret("hunter2")) || s.Equal(config.NewSecret("hunter3")) || s.Equal(config.Secret{}) || config.NewSecret("").Equal(config.Secret{}) {
		t.Error("Equal is wrong")
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "[::1]": true, "::ffff:127.0.0.1": true,
		"": false, "0.0.0.0": false, "::": false, "localhost.example.org": false, "10.0.0.1": false, "127.0.0.1.example": false, "127.1": false,
	} {
		if got := config.Loopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// FuzzLoad: whatever the file, Load ends, does not panic, and either gives a
// configuration that obeys the rules other parts rely on or problems with places.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	for _, pattern := range []string{"testdata/bad/*.yaml", "../docs/portico.example.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Setenv("CONFIG_TEST_SEAL_KEY", sealKey)
	dir := f.TempDir()
	path := filepath.Join(dir, "portico.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path)
		if err != nil {
			var problems *config.Error
			if errors.As(err, &problems) && len(problems.Problems) == 0 {
				t.Error("an error without problems")
			}
			return
		}
		if c.PublicURL == "" || strings.HasSuffix(c.PublicURL, "/") || len(c.Sources) == 0 || len(c.IdentityProviders) == 0 || c.SealKey.IsZero() {
			t.Errorf("accepted: %+v", c)
		}
	})
}
