package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Redis is a server with a port and a folder of its own. It keeps nothing on the
// disk.
type Redis struct {
	Addr string // host:port

	dir     string
	command []string
	run     *process
}

// StartRedis starts a server for this test alone; more are further arguments
// such as "--requirepass", "x" or "--cluster-enabled", "yes".
func StartRedis(t testing.TB, more ...string) *Redis {
	t.Helper()
	return start(t, func(dir string) []string {
		return append([]string{"--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}, more...)
	})
}

// start starts a server; args gives the arguments beside program, port and address.
func start(t testing.TB, args func(dir string) []string) *Redis {
	t.Helper()
	Need(t)
	r, err := startRedis(args)
	if err != nil {
		t.Fatalf("start Redis: %v", err)
	}
	t.Cleanup(func() {
		if r.run == nil {
			_ = os.RemoveAll(r.dir) // it was killed
			return
		}
		if err := r.run.stop(); err != nil {
			t.Errorf("stop Redis: %v", err)
		}
	})
	return r
}

func startRedis(args func(dir string) []string) (*Redis, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "portico-redis-")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r := &Redis{Addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	r.command = append(append([]string{program}, args(dir)...), "--port", strconv.Itoa(port), "--bind", "127.0.0.1")
	if err := r.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

func (r *Redis) start() error {
	var err error
	if r.run, err = run(r.dir, "KILL", nil, r.command...); err != nil {
		return err
	}
	if err := until(r.answers); err != nil {
		said := logOf(r.dir)
		return errors.Join(fmt.Errorf("%w\n%s", err, said), r.run.stop())
	}
	return nil
}

// answers says whether the server takes commands; that it wants a password
// first is an answer too.
func (r *Redis) answers() error {
	said, err := r.say("PING")
	if err != nil || !strings.HasPrefix(said, "+") && !strings.HasPrefix(said, "-NOAU") {
		return fmt.Errorf("services: Redis is not ready: %q, %w", said, err)
	}
	return nil
}

// say sends a command without a client and gives the beginning of what comes back.
func (r *Redis) say(command string) (string, error) {
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", r.Addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	return string(answer[:n]), err
}

// become waits until the answer to a command holds a text.
func (r *Redis) become(t testing.TB, command, text string) {
	t.Helper()
	err := until(func() error {
		said, err := r.say(command)
		if err == nil && !strings.Contains(said, text) {
			err = fmt.Errorf("services: %s says %q", command, said)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Freeze stops the server without ending it: it answers nothing until Thaw.
func (r *Redis) Freeze(t testing.TB) { r.signal(t, syscall.SIGSTOP) }

// Thaw lets the server go on after Freeze.
func (r *Redis) Thaw(t testing.TB) { r.signal(t, syscall.SIGCONT) }

func (r *Redis) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(r.run.pid, s); err != nil {
		t.Fatalf("signal Redis: %v", err)
	}
}

// Kill ends the server at once; what it held is gone.
func (r *Redis) Kill(t testing.TB) {
	t.Helper()
	run := r.run
	r.run = nil
	if err := run.kill(); err != nil {
		t.Fatalf("kill Redis: %v", err)
	}
}

// Start starts the server again after Kill, at the same port, empty; it returns
// when it answers.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	if err := r.start(); err != nil {
		t.Fatalf("start Redis again: %v", err)
	}
}
