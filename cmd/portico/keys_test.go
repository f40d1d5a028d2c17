package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysAreListedAndRotated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "portico.yaml")
	t.Setenv("KEYS_TEST_SEAL", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	err := os.WriteFile(path, []byte(`
public_url: http://localhost:8080
store: {sqlite: p.sqlite}
seal_key: {env: KEYS_TEST_SEAL}
identity_providers: [{id: idp, issuer: "http://localhost:8082", client_id: portico}]
sources: [{id: demo, name: Demo, fhir_base: "http://localhost:8081/fhir"}]
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	keys := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"keys"}, args...), streams{&out, &errs})
		return code, out.String(), errs.String()
	}
	for _, bad := range [][]string{{}, {"burn"}, {"rotate", "-alg", "none", "-config", path}, {"list", "-alg", "RS256"}, {"rotate", "x"}} {
		if code, out, errs := keys(bad...); code != 2 || errs == "" || out != "" {
			t.Errorf("keys %v: %d %q %q", bad, code, out, errs)
		}
	}
	if code, _, errs := keys("list", "-config", filepath.Join(dir, "none.yaml")); code != 1 || !strings.Contains(errs, "none.yaml") {
		t.Errorf("without a file: %d %q", code, errs)
	}
	count := func(state string) int {
		code, out, errs := keys("list", "-config", path)
		if code != 0 || strings.Contains(out, "PRIVATE") {
			t.Fatalf("list: %d %q %q", code, out, errs)
		}
		return strings.Count(out, state)
	}
	if n := count("signs"); n != 0 {
		t.Errorf("%d keys in an empty store", n)
	}
	for range 2 {
		if code, out, errs := keys("rotate", "-config", path); code != 0 || strings.Count(out, "signs from") != 2 {
			t.Fatalf("rotate: %d %q %q", code, out, errs)
		}
	}
	if a, b := count("signs until"), count("waits for its turn"); a != 2 || b != 2 {
		t.Errorf("%d sign until, %d wait", a, b)
	}
	if code, out, errs := keys("rotate", "-config", path, "-alg", "RS256", "-compromised"); code != 0 || !strings.Contains(out, "good no more") {
		t.Fatalf("rotate: %d %q %q", code, out, errs)
	}
	if a, b := count("gone"), count("signs until"); a != 2 || b != 1 {
		t.Errorf("%d gone, %d sign until", a, b)
	}
}
