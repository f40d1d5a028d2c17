package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/idp"
)

const serveConfig = `
public_url: https://localhost:%[1]d
listen: 127.0.0.1:%[1]d
tls: {cert_file: cert.pem, key_file: key.pem}
store: {sqlite: state.sqlite}
seal_key: {env: SERVE_FLOW_KEY}
identity_providers:
  - id: provider
    issuer: %[2]s
    client_id: portico
    client_secret: {file: provider.secret}
    scopes: [openid, profile, email]
sources:
  - id: north
    name: North Hospital
    fhir_base: %[3]s
    identity_provider: provider
    auth: {type: bearer, token: {file: ehr.token}}
    patient_from: {claim: email, as: identifier, system: "urn:example:email"}
clients:
  - id: web-app
    name: A web app
    type: confidential
    secret: {file: app.secret}
    redirect_uris: ["http://localhost:4711/cb"]
`

// TestServeFromTheConfigurationFileToTheRecord runs `portico serve` over TLS in
// front of an EHR that wants a token and a provider whose people are known by
// an identifier, and reads a record with a confidential app.
func TestServeFromTheConfigurationFileToTheRecord(t *testing.T) {
	hospital := ehr.New(ehr.Options{Bearer: "ehr-token"})
	for _, raw := range []string{
		`{"resourceType":"Patient","id":"pat-1","identifier":[{"system":"urn:example:email","value":"ann@example.org"}],"name":[{"family":"Ahern"}]}`,
		`{"resourceType":"Patient","id":"pat-2","identifier":[{"system":"urn:example:email","value":"ben@example.org"}],"name":[{"family":"Bloom"}]}`,
		`{"resourceType":"Observation","id":"obs-1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/pat-1"}, "valueQuantity":{"value":1.00}}`,
		`{"resourceType":"Observation","id":"obs-2","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/pat-2"}}`,
	} {
		if err := hospital.Load([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	up := httptest.NewServer(hospital)
	defer up.Close()
	port := freePort(t)
	public := fmt.Sprintf("https://localhost:%d", port)
	issuer := startProvider(t, public)

	dir := t.TempDir()
	pool := x509.NewCertPool()
	cert := writeCert(t, dir, "localhost", time.Now().Add(time.Hour), pool)
	text := fmt.Sprintf(serveConfig, port, issuer, up.URL+"/fhir")
	text = strings.Replace(text, "cert.pem", cert.CertFile, 1)
	text = strings.Replace(text, "key.pem", cert.KeyFile, 1)
	for name, content := range map[string]string{
		"portico.yaml": text, "provider.secret": "provider-secret-0123456789abcdef", "ehr.token": "ehr-token", "app.secret": "app-secret-0123456789abcdef0123456789",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SERVE_FLOW_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	var log lockedBuffer
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "-config", filepath.Join(dir, "portico.yaml")}, streams{&log, &log})
	}()
	defer func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d\n%s", code, log.String())
		}
		for _, never := range []string{"pat-1", "ann@example.org", "Ahern", "obs-1", "ehr-token", "app-secret", "provider-secret"} {
			if strings.Contains(log.String(), never) {
				t.Errorf("the log says %q:\n%s", never, log.String())
			}
		}
	}()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	waitFor(t, client, public+"/.well-known/openid-configuration", &log)

	app := oauth2.Config{
		ClientID: "web-app", ClientSecret: "app-secret-0123456789abcdef0123456789", RedirectURL: "http://localhost:4711/cb",
		Scopes:   []string{"launch/patient", "patient/*.read"}, // version 1 scopes
		Endpoint: oauth2.Endpoint{AuthURL: public + "/oauth/authorize", TokenURL: public + "/oauth/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
	pkce := oauth2.GenerateVerifier()
	b := newBrowser(t, app.RedirectURL)
	b.client.Transport = transport
	ask, err := url.Parse(app.AuthCodeURL("odd state %2F+ü", oauth2.S256ChallengeOption(pkce), oauth2.SetAuthURLParam("aud", public+"/fhir/north/")))
	if err != nil {
		t.Fatal(err)
	}
	back := b.do(http.MethodPost, public+"/oauth/authorize", ask.Query()).signIn("ann").allow().arrived()
	if back.Get("state") != "odd state %2F+ü" {
		t.Fatalf("came back with %v", back)
	}
	token, err := app.Exchange(context.WithValue(t.Context(), oauth2.HTTPClient, client), back.Get("code"), oauth2.VerifierOption(pkce))
	if err != nil {
		t.Fatal(err)
	}
	if token.Extra("patient") != "pat-1" {
		t.Fatalf("patient %v", token.Extra("patient"))
	}
	http2 := app.Client(context.WithValue(t.Context(), oauth2.HTTPClient, client), token)
	for path, want := range map[string]int{"/Observation/obs-1": 200, "/Observation/obs-2": 404, "/Patient/pat-2": 404, "/Observation?patient=pat-2": 403} {
		resp, err := http2.Get(public + "/fhir/north" + path)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want || !json.Valid(body.Bytes()) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body.String())
		}
		if want == 200 && !strings.Contains(body.String(), `}, "valueQuantity":{"value":1.00}}`) {
			t.Errorf("the bytes changed: %s", body.String())
		}
	}
}

// startProvider starts the demo's provider on a port of its own and gives its issuer.
func startProvider(t *testing.T, public string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + l.Addr().String()
	provider, err := idp.New(idp.Options{
		Issuer:  issuer,
		People:  []idp.Person{{Login: "ann", Password: "demo", Name: "Ann Ahern", Email: "ann@example.org", Story: "A person."}},
		Clients: []idp.Client{{ID: "portico", Secret: "provider-secret-0123456789abcdef", RedirectURIs: []string{public + "/login/callback"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: provider, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return issuer
}

func waitFor(t *testing.T, client *http.Client, target string, log *lockedBuffer) {
	t.Helper()
	for range 500 {
		resp, err := client.Get(target)
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not answer\n%s", target, log.String())
}
