package services

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// StartNode runs a server written for Node.js, for this test, and gives the URL.
// The script listens at the port that is its first argument; the packages it needs
// are installed beside it by .ci/setup.
func StartNode(t testing.TB, script string, args ...string) string {
	t.Helper()
	Need(t)
	script, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(script), "node_modules", ".installed-lock")); err != nil {
		t.Fatalf("the npm packages beside %s are not installed: run make test", filepath.Base(script))
	}
	return startFiles(t, "node", func(_ string, port int) ([]string, error) {
		return append([]string{script, strconv.Itoa(port)}, args...), nil
	})
}
