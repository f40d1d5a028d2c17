package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// The disk fills up: nothing is released any more that cannot be written down, and
// with room again everything goes on.
func TestAFullDiskOfTheAuditReleasesNothing(t *testing.T) {
	dir := t.TempDir()
	small := smallDisk(t, dir)
	c := newCluster(t, fmt.Sprintf("{sqlite: %q}", filepath.Join(dir, "portico.sqlite")), "")
	fill, free := c.noGrowth(t, dir)
	if small {
		filler := filepath.Join(dir, "filler")
		fill = func() { fillUp(t, filler) }
		free = func() {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		}
	}
	who := c.two(t)
	l := startLoad(who, c.fhir(0), c.fhir(1))
	l.more(t, 50)
	fill()
	eventually(t, "the disk to be full", func() error {
		if l.now().Refused == 0 {
			fill()
			return errors.New("nothing was refused")
		}
		return nil
	})
	l.more(t, 60)
	full := startLoad(who, c.fhir(0), c.fhir(1))
	full.more(t, 60)
	during := full.now()
	if status, body := fetch(t, c.each[0].url()+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "failed store: down") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	free()
	took := c.recovered(t, who, c.fhir(0), c.fhir(1))
	full.stop(t, "disk of the audit full (SQLite)", took)
	l.stopping.Store(true)
	l.workers.Wait()
	if during.Good > 0 {
		t.Errorf("%d answers were released on a full disk", during.Good)
	}
	audited := auditedRequests(t, "sqlite", filepath.Join(dir, "portico.sqlite"))
	l.checkAudited(t, audited)
	full.checkAudited(t, audited)
}

// smallDisk makes a small file system of dir where this user can.
func smallDisk(t *testing.T, dir string) bool {
	t.Helper()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", dir).Run(); err != nil {
		t.Log("no file system can be mounted here: files that may not grow stand for a full disk")
		return false
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return true
}

// noGrowth lets the replicas write no file beyond the size of the largest in dir,
// and as much as they want again. It works everywhere, and differs from a full
// disk in the number of the error alone.
func (c *cluster) noGrowth(t *testing.T, dir string) (fill, free func()) {
	limit := func(size uint64) {
		for _, p := range c.each {
			most := syscall.Rlimit{Cur: size, Max: ^uint64(0)}
			if _, _, err := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.cmd.Process.Pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&most)), 0, 0, 0); err != 0 {
				t.Fatal(err)
			}
		}
	}
	fill = func() {
		var most uint64
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := f.Info(); err == nil {
				most = max(most, uint64(info.Size()))
			}
		}
		limit(most)
	}
	return sync.OnceFunc(fill), func() { limit(^uint64(0)) }
}

// fillUp takes all room that is left.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}
