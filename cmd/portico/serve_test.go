package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func runFor(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{&o, &e})
	return code, o.String(), e.String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"nothing", nil, 2, "", "portico serve"},
		{"an unknown command", []string{"sevre"}, 2, "", `no command "sevre"`},
		{"help", []string{"help"}, 0, "portico demo", ""},
		{"-h", []string{"-h"}, 0, "portico demo", ""},
		{"version", []string{"version"}, 0, "portico " + version, ""},
		{"--version", []string{"--version"}, 0, "portico " + version, ""},
		{"version with something behind it", []string{"version", "x"}, 2, "", `"x" is not an option`},
		{"help of a command", []string{"serve", "-h"}, 0, "", "-config"},
		{"an unknown option", []string{"serve", "-cofnig", "x"}, 2, "", "-cofnig"},
		{"no configuration", []string{"serve", "-config", "none.yaml"}, 1, "", "there is no file none.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := runFor(t, c.args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
				t.Errorf("code %d\nout %s\nerr %s", code, out, errs)
			}
		})
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no port")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return a.Port
}

func writeConfig(t *testing.T, port int, more string) string {
	t.Helper()
	t.Setenv("SERVE_TEST_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	path := filepath.Join(t.TempDir(), "portico.yaml")
	text := fmt.Sprintf(`public_url: http://127.0.0.1:%d
listen: 127.0.0.1:%d
store: {sqlite: portico.sqlite}
seal_key: {env: SERVE_TEST_KEY}
identity_providers:
  - {id: idp, issuer: "http://127.0.0.1:1", client_id: portico}
sources:
  - {id: demo, name: Demo, fhir_base: "http://127.0.0.1:1/fhir"}
%s`, port, port, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEachMistakeOfAConfigurationIsOnALineOfItsOwn(t *testing.T) {
	path := writeConfig(t, 8080, "lisen: x\nlog: {level: loud}\n")
	code, _, errs := runFor(t, "serve", "-config", path)
	want := fmt.Sprintf("portico serve: the configuration cannot be used\n%[1]s:9:1: lisen: there is no such key; did you mean listen?\n%[1]s:10:14: log.level: must be debug, info, warn or error\n", path)
	if code != 1 || errs != want {
		t.Errorf("code %d\ngot  %s\nwant %s", code, errs, want)
	}
}

// TestServeFromConfigurationToStop starts what `portico serve` starts, asks it
// something, stops it as a signal would, and looks for what is left behind.
func TestServeFromConfigurationToStop(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	port := freePort(t)
	path := writeConfig(t, port, "log: {format: json}\n")
	var log lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve", "-config", path}, streams{&log, &log}) }()

	client := fetcher(t, nil)
	defer client.CloseIdleConnections()
	url := fmt.Sprintf("http://127.0.0.1:%d/.well-known/openid-configuration", port)
	var resp *http.Response
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if resp, err = client.Get(url); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("does not answer: %v\n%s", err, log.String())
		}
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("got %d with request id %q", resp.StatusCode, resp.Header.Get("X-Request-Id"))
	}
	cancel()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not stop")
	}
	for _, want := range []string{`"Portico is ready"`, `"route":"/.well-known/openid-configuration"`, `"remote":"127.0.0.1"`, `"Portico has stopped"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, log.String())
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "portico.sqlite")); err != nil {
		t.Errorf("the state is not beside the configuration: %v", err)
	}
}
