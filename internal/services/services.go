// Package services starts the real servers that tests need, PostgreSQL and
// Redis, on loopback, in folders of their own. It owns that nothing is left when
// the test process ends, however it ends; it must not know what is tested.
package services

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Switch is the variable that says that the services are installed; make test
// sets it.
const Switch = "PORTICO_TEST_SERVICES"

// patience is how long a server may take to answer or to end.
const patience = time.Minute

// Need skips a test that needs a service where none can be expected.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv(Switch) == "" {
		t.Skip("needs make test")
	}
}

// keep runs the server of its arguments until its own standard input ends, which
// happens at the latest when the test process is gone, even by SIGKILL. It ends
// the server and deletes the folder unless told not to.
// read is a builtin: the server is not waited for before, so its number stays
// its own.
const keep = `dir=$1; signal=$2; shift 2
(exec "$@") </dev/null >>"$dir/log" 2>&1 &
pid=$!
echo "$pid" >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid"
read -r how
kill -"$signal" "$pid" 2>/dev/null
wait
[ "$how" = stay ] || rm -rf "$dir"`

// process is one run of a server.
type process struct {
	dir    string
	keeper *exec.Cmd
	input  *os.File // never closed by the garbage collector while this is held
	pid    int
}

// run starts a server as a user, nil for one's own. signal is what ends it.
func run(dir, signal string, as *syscall.Credential, command ...string) (*process, error) {
	_ = os.Remove(filepath.Join(dir, "pid")) // of the run before
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	//nolint:gosec // G204: a fixed script, and servers that the tests name
	p := &process{dir: dir, input: write, keeper: exec.CommandContext(context.Background(), "/bin/sh", append([]string{"-c", keep, "keep", dir, signal}, command...)...)}
	p.keeper.Dir, p.keeper.Stdin = dir, read
	p.keeper.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true} // Ctrl+C is for the tests
	err = p.keeper.Start()
	_ = read.Close() // the keeper has its own
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	err = until(func() error {
		text, err := os.ReadFile(filepath.Join(dir, "pid")) //nolint:gosec // G304: in a folder of ours
		if err != nil {
			return err
		}
		p.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// kill ends the server and its children as a power cut would; the folder stays.
func (p *process) kill() error {
	if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) { // it makes no more children
		return err
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.pid, p.pid)) // elsewhere they notice by themselves
	victims := []int{p.pid}
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			victims = append(victims, n)
		}
	}
	for _, pid := range victims {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	_, err := p.input.WriteString("stay\n")
	return errors.Join(err, p.stop(), until(func() error { return over(victims) }))
}

// over says whether processes have let go of all that they held, such as shared
// memory; those that nobody has waited for may still be listed.
func over(pids []int) error {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // gone, or a system without /proc
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X") {
			return fmt.Errorf("services: process %d is still there", pid)
		}
	}
	return nil
}

// stop ends the server and deletes its folder.
func (p *process) stop() error {
	err := p.input.Close()
	if waited := p.keeper.Wait(); waited != nil {
		var exit *exec.ExitError
		if !errors.As(waited, &exit) { // how a server ends when it is told to is its own matter
			err = errors.Join(err, waited)
		}
	}
	return err
}

// log is what the server said, for the message of a test that failed.
func logOf(dir string) string {
	text, _ := os.ReadFile(filepath.Join(dir, "log")) //nolint:gosec // G304: in a folder of ours
	if len(text) > 2000 {
		text = text[len(text)-2000:]
	}
	return string(text)
}

// until asks again and again until there is no error, for as long as patience.
func until(ask func() error) error {
	end := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// FreePort gives a port of loopback that nobody listened on a moment ago. It is
// below those that the system gives to whoever connects, since one of these may be
// taken before a server that is slow to start has it.
func FreePort() (int, error) {
	var last error
	for range 100 {
		port := 10_000 + rand.IntN(20_000) //nolint:gosec // G404: no secret
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, last
}
