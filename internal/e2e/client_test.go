package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestAServiceWrittenWithAnotherLibrary starts the program as an operator would,
// with a backend service in its configuration, and lets a client written with
// oauth4webapi talk to it (client/service.mjs).
func TestAServiceWrittenWithAnotherLibrary(t *testing.T) {
	if os.Getenv("PORTICO_TEST_SERVICES") == "" {
		t.Skip("needs make test")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: run make test, which says what is missing")
	}
	if _, err := os.Stat("client/node_modules/oauth4webapi"); err != nil {
		t.Fatal("the npm packages of internal/e2e/client are not installed: run make test")
	}
	private, public := serviceKeys(t)
	issuer := startServe(t, public)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, node, "service.mjs")
	run.Dir = "client"
	run.Env = append(os.Environ(), "ISSUER="+issuer, "KEYS="+string(private))
	out, err := run.CombinedOutput()
	t.Logf("service.mjs:\n%s", out)
	if err != nil {
		t.Fatalf("service.mjs: %v", err)
	}
}

// serviceKeys makes a key for each algorithm: the private ones by algorithm, the
// public ones as a JWK set.
func serviceKeys(t *testing.T) (private, public []byte) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	byAlg := map[string]jose.JSONWebKey{"ES384": {Key: ec, KeyID: "ec"}, "RS384": {Key: rs, KeyID: "rs"}}
	if private, err = json.Marshal(byAlg); err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	for _, key := range byAlg {
		set.Keys = append(set.Keys, key.Public())
	}
	if public, err = json.Marshal(set); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// startServe builds the program and runs `portico serve`; nothing that its
// configuration names outside needs to be there.
func startServe(t *testing.T, jwks []byte) (issuer string) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "portico")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/portico")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/portico: %v\n%s", err, out)
	}
	port := freeBlock(t, 1)
	issuer = fmt.Sprintf("http://localhost:%d", port)
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	for name, text := range map[string]string{
		"jwks.json": string(jwks), "seal_key": base64.StdEncoding.EncodeToString(key[:]),
		"portico.yaml": fmt.Sprintf(`
public_url: %s
listen: localhost:%d
store: {sqlite: portico.sqlite}
seal_key: {file: seal_key}
identity_providers: [{id: main, issuer: "http://localhost:1", client_id: portico}]
sources: [{id: north, name: North, fhir_base: "http://localhost:1/fhir"}]
clients:
  - {id: warehouse, name: Warehouse, type: confidential, jwks_file: jwks.json, scopes: [system/*.rs]}
`, issuer, port),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := exec.Command(binary, "serve", "-config", filepath.Join(dir, "portico.yaml"))
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() { stopDemo(t, serve, ended, &log) })
	awaitOK(t, issuer+"/.well-known/openid-configuration", ended)
	return issuer
}
