package services

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// nginx is a configuration that serves a folder and nothing else: the port, the
// folder, and whether a folder's index is a page, JSON or not there.
const nginx = `daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
events {}
http {
	access_log off; default_type application/octet-stream;
	types { text/plain txt; application/json json; }
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server { listen 127.0.0.1:%d; root %q; %s }
}
`

// StartNginx serves a folder by plain HTTP, for this test, and gives the URL.
// more is put into the server's section, such as "autoindex on;".
func StartNginx(t testing.TB, root, more string) string {
	t.Helper()
	return startFiles(t, "nginx", func(dir string, port int) ([]string, error) {
		file := filepath.Join(dir, "nginx.conf")
		err := os.WriteFile(file, fmt.Appendf(nil, nginx, port, root, more), 0o600)
		return []string{"-p", dir, "-e", "stderr", "-c", file, "-g", "user root;"}, err
	})
}

// StartProxy runs nginx with a configuration of its own, for this test, and gives
// the address. conf is told a folder for nginx's files and the port.
func StartProxy(t testing.TB, conf func(dir string, port int) string) string {
	t.Helper()
	return strings.TrimPrefix(startFiles(t, "nginx", func(dir string, port int) ([]string, error) {
		file := filepath.Join(dir, "nginx.conf")
		err := os.WriteFile(file, []byte(conf(dir, port)), 0o600)
		return []string{"-p", dir, "-e", "stderr", "-c", file, "-g", "daemon off; pid nginx.pid; user root;"}, err
	}), "http://")
}

// StartPythonFiles serves a folder with python3 -m http.server, and gives the URL.
func StartPythonFiles(t testing.TB, root string) string {
	t.Helper()
	return startFiles(t, "python3", func(_ string, port int) ([]string, error) {
		return []string{"-m", "http.server", strconv.Itoa(port), "--bind", "127.0.0.1", "--directory", root}, nil
	})
}

func startFiles(t testing.TB, name string, arguments func(dir string, port int) ([]string, error)) string {
	t.Helper()
	Need(t)
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "portico-files-") //nolint:usetesting // the keeper deletes it
	if err != nil {
		t.Fatal(err)
	}
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	args, err := arguments(dir, port)
	if err != nil {
		t.Fatal(err)
	}
	p, err := run(dir, "TERM", nil, append([]string{program}, args...)...)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said last: %s", name, logOf(dir))
		}
		if err := p.stop(); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	err = until(func() error {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s does not answer: %v\n%s", name, err, logOf(dir))
	}
	return "http://" + address
}
