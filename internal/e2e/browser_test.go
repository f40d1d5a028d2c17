// Package e2e holds tests of the whole program from outside: as a user starts it
// and as apps and browsers meet it. It has no code of its own.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestTheDemoInABrowser builds the program, starts its demo as a user would,
// and clicks through it in Chromium (browser/flow.mjs): every page is judged
// for accessibility and for breaches of its content security policy.
func TestTheDemoInABrowser(t *testing.T) {
	if os.Getenv("PORTICO_TEST_SERVICES") == "" {
		t.Skip("needs make test")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: run make test, which says what is missing")
	}
	if _, err := os.Stat("browser/node_modules/playwright-core"); err != nil {
		t.Fatal("the npm packages of internal/e2e/browser are not installed: run make test")
	}
	artifacts := os.Getenv("ARTIFACTS")
	if artifacts == "" {
		artifacts = t.TempDir()
	}
	artifacts, err = filepath.Abs(filepath.Join(artifacts, "browser"))
	if err != nil {
		t.Fatal(err)
	}
	app := startDemo(t)

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	flow := exec.CommandContext(ctx, node, "flow.mjs")
	flow.Dir = "browser"
	flow.Env = append(os.Environ(), "PORTICO_APP_URL="+app, "ARTIFACTS="+artifacts)
	out, err := flow.CombinedOutput()
	t.Logf("flow.mjs, pictures in %s:\n%s", artifacts, out)
	if err != nil {
		t.Fatalf("flow.mjs: %v", err)
	}
	shots, err := filepath.Glob(filepath.Join(artifacts, "*.png"))
	if err != nil || len(shots) < 40 {
		t.Fatalf("%d pictures were kept (%v); the flow did not see all pages", len(shots), err)
	}
}

// startDemo builds and starts the demo on four free ports and gives the URL of
// its app. The process is asked to end with the test and must do so by itself.
func startDemo(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "portico")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/portico")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/portico: %v\n%s", err, out)
	}
	port := freeBlock(t, 4)
	demo := exec.Command(binary, "demo", "-port", strconv.Itoa(port))
	var log bytes.Buffer
	demo.Stdout, demo.Stderr = &log, &log
	demo.Dir = t.TempDir()
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- demo.Wait() }()
	t.Cleanup(func() { stopDemo(t, demo, ended, &log) })

	app := fmt.Sprintf("http://localhost:%d", port+3)
	for _, url := range []string{
		app + "/config.json",
		fmt.Sprintf("http://localhost:%d/fhir/demo/.well-known/smart-configuration", port),
		fmt.Sprintf("http://localhost:%d/.well-known/openid-configuration", port+2),
	} {
		awaitOK(t, url, ended)
	}
	return app
}

func stopDemo(t *testing.T, demo *exec.Cmd, ended chan error, log *bytes.Buffer) {
	if err := demo.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stopping the demo: %v", err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the demo did not end within 15 s of SIGTERM")
		_ = demo.Process.Kill() // the error above is the one that matters
		t.Logf("killed: %v", <-ended)
	}
	if t.Failed() {
		t.Logf("what the demo printed:\n%s", log)
	}
}

// awaitOK polls until url answers 200.
func awaitOK(t *testing.T, url string, ended chan error) {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended before %s answered: %v", url, err)
		default:
		}
		res, err := client.Get(url)
		if err != nil {
			continue
		}
		_ = res.Body.Close() // only the status matters
		if res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("%s did not answer 200 within 60 s", url)
}

// freeBlock finds n ports in a row that nobody listens on.
func freeBlock(t *testing.T, n int) int {
	t.Helper()
	for first := 21000; first < 29000; first += 97 {
		free := true
		for p := first; free && p < first+n; p++ {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
			if err != nil {
				free = false
				continue
			}
			free = l.Close() == nil
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}
