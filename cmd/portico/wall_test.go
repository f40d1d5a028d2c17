package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// wallFile is what a movable binary looks for in the folder it runs in: by how
// many seconds its wall clock is off.
const wallFile = "portico-test-wall"

// moves are what is changed in package time, each within its line: what the
// package exports, line numbers too, stays what it was. The file is read with what
// reads time zones. Nothing can be read where the scheduler sends the time to a
// channel, so that is not moved.
var moves = map[string]struct{ from, to string }{
	"time.go": {
		"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n",
		"func Now() Time {\n\tsec, nsec, mono := runtimeNow(); if fd, err := open(\"" + wallFile + "\"); err == nil { var b [32]byte; n, _ := read(fd, b[:]); closefd(fd); " +
			"sign, off := int64(1), int64(0); for _, c := range b[:n] { if c == '-' { sign = -1 } else if c >= '0' && c <= '9' { off = off*10 + int64(c-'0') } }; sec += sign * off }\n",
	},
	"sleep.go": {
		"\tselect {\n\tcase c.(chan Time) <- Now().Add(",
		"\tsec, nsec, mono := runtimeNow(); now := Time{hasMonotonic | uint64(sec+unixToInternal-minWall)<<nsecShift | uint64(nsec), mono - startNano, Local}; select {\n\tcase c.(chan Time) <- now.Add(",
	},
}

// movable is portico as it is shipped, but for the wall clock that a test can
// move; how much time has passed is told as ever.
var movable = sync.OnceValues(func() (string, error) {
	path, err := binary() // its parts are built now
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(path)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	edits := map[string]string{} // by the file that each is of
	for name, change := range moves {
		original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", name)
		text, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		if strings.Count(string(text), change.from) != 1 {
			return "", fmt.Errorf("%s is not what it was; change moves", original)
		}
		edits[original] = filepath.Join(dir, name)
		if err := os.WriteFile(edits[original], []byte(strings.Replace(string(text), change.from, change.to, 1)), 0o600); err != nil {
			return "", err
		}
	}
	out := filepath.Join(dir, "portico-movable")
	if quick := linkMoved(dir, edits, out); quick != nil {
		// Everything is built anew, since everything uses the package: minutes.
		return out, buildMoved(dir, edits, out, quick)
	}
	return out, nil
})

// linkMoved builds package time alone and links it with all that is built already.
// The linker refuses it if what the package exports is not the same.
func linkMoved(dir string, edits map[string]string, out string) error {
	list, err := exec.Command("go", "list", "-deps", "-export", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}", ".").Output()
	if err != nil {
		return err
	}
	files, err := exec.Command("go", "list", "-f", `{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`, "time").Output()
	if err != nil {
		return err
	}
	archive, main := filepath.Join(dir, "time.a"), ""
	var to strings.Builder
	for line := range strings.Lines(string(list)) {
		if at, ok := strings.CutPrefix(line, "packagefile github.com/portico-fhir/portico/cmd/portico="); ok {
			main = strings.TrimSpace(at)
		}
		if strings.HasPrefix(line, "packagefile time=") {
			line = "packagefile time=" + archive + "\n"
		}
		to.WriteString(line)
	}
	from, link := filepath.Join(dir, "importcfg"), filepath.Join(dir, "importcfg.link")
	for path, text := range map[string]string{from: string(list), link: to.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	names := string(files)
	var trim []string
	for original, edited := range edits {
		names = strings.Replace(names, original+"\n", edited+"\n", 1)
		trim = append(trim, edited+"=>$GOROOT/src/time/"+filepath.Base(original))
	}
	compile := []string{"tool", "compile", "-std", "-p", "time", "-pack", "-o", archive, "-importcfg", from, "-trimpath", strings.Join(trim, ";")}
	compile = append(compile, strings.Fields(names)...)
	for _, args := range [][]string{compile, {"tool", "link", "-importcfg", link, "-buildmode=exe", "-o", out, main}} {
		if said, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
	}
	return nil
}

func buildMoved(dir string, edits map[string]string, out string, quick error) error {
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": edits})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return err
	}
	if said, err := exec.Command("go", "build", "-overlay", file, "-o", out, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%w\n%s", quick, err, said)
	}
	return nil
}

// jump sets by how much a replica's wall clock is off from now on.
func (c *cluster) jump(t *testing.T, i int, by time.Duration) {
	t.Helper()
	path := filepath.Join(c.folder(i), wallFile)
	if err := os.WriteFile(path+".new", fmt.Appendf(nil, "%d", int64(by/time.Second)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
