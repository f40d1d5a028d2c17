package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/gateway/store"
)

const killedFile = "STORE_KILLED_FILE"

// TestRecordUntilKilled is the process that TestWhatWasPromisedIsThereAfterAKill
// starts and kills; alone it does nothing.
func TestRecordUntilKilled(t *testing.T) {
	path := os.Getenv(killedFile)
	if path == "" {
		return
	}
	s, err := store.Open(context.Background(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", worker, i)
				if err := s.Record(context.Background(), audittest.Event(id)); err != nil {
					return
				}
				fmt.Println("promised", id)
			}
		}()
	}
	select {}
}

func TestWhatWasPromisedIsThereAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "killed.sqlite")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRecordUntilKilled$")
	child.Env = append(os.Environ(), killedFile+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var promised []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "promised "); ok {
			promised = append(promised, id)
		}
		if len(promised) == 300 {
			if err := child.Process.Kill(); err != nil { // SIGKILL, with others still writing
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	if len(promised) < 300 {
		t.Fatalf("only %d events were promised", len(promised))
	}
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	events, err := s.Events(t.Context(), audit.Filter{Limit: audit.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for i, e := range events {
		kept[e.ID] = true
		if e.Seq != int64(i+1) {
			t.Fatalf("a gap at %d", i+1)
		}
	}
	for _, id := range promised {
		if !kept[id] {
			t.Errorf("event %s was promised and is gone", id)
		}
	}
}
