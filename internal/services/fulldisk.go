package services

import (
	"context"
	_ "embed" // the shim
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed shim/fulldisk.c
var fullDisk string

// shim builds what can make the disk of a server full, wherever tests run: a
// small file system of its own can be mounted by few. It gives what to put before
// the server's command.
func (p *Postgres) shim() ([]string, error) {
	library := filepath.Join(p.dir, "fulldisk.so")
	if _, err := os.Stat(library); errors.Is(err, fs.ErrNotExist) {
		source := filepath.Join(p.dir, "fulldisk.c")
		if err := os.WriteFile(source, []byte(fullDisk), 0o600); err != nil {
			return nil, err
		}
		//nolint:gosec // G204: in a folder of ours
		if said, err := exec.CommandContext(context.Background(), "gcc", "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("gcc: %w\n%s", err, said)
		}
	}
	return []string{"/usr/bin/env", "LD_PRELOAD=" + library, "PORTICO_TEST_FULL=" + p.flag()}, nil
}

func (p *Postgres) flag() string { return filepath.Join(p.dir, "full") }

// Fill makes the disk of a server with FullDisk full, or gives it room again.
func (p *Postgres) Fill(t testing.TB, full bool) {
	t.Helper()
	err := os.Remove(p.flag())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if full {
		err = os.WriteFile(p.flag(), nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
