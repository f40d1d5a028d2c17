package services_test

import (
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/services"
)

func execute(t *testing.T, url, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	a, b := services.Database(t), services.Database(t)
	execute(t, a, `CREATE TABLE x (n BIGINT)`)
	execute(t, b, `CREATE TABLE x (n BIGINT)`)
}

func TestWhatWasCommittedIsThereAfterAKill(t *testing.T) {
	p := services.StartPostgres(t, services.PostgresOptions{Durable: true})
	url := p.Database(t)
	execute(t, url, `CREATE TABLE x (n BIGINT)`)
	p.Kill(t)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err == nil {
		t.Error("it answers although it was killed")
	}
	_ = db.Close()
	p.Start(t)
	execute(t, url, `INSERT INTO x VALUES (1)`)
}

func TestRedisComesBackAtTheSamePlace(t *testing.T) {
	r := services.StartRedis(t, "--requirepass", "x")
	r.Kill(t)
	if conn, err := net.Dial("tcp", r.Addr); err == nil {
		conn.Close()
		t.Error("it listens although it was killed")
	}
	r.Start(t)
}

const asChild = "SERVICES_CHILD"

// TestStartAndWait is the process that TestNothingIsLeft starts and kills.
func TestStartAndWait(t *testing.T) {
	if os.Getenv(asChild) == "" {
		return
	}
	r := services.StartRedis(t)
	services.Database(t)
	_, _ = os.Stdout.WriteString("at " + r.Addr + "\n")
	select {}
}

func TestNothingIsLeftOfAProcessThatWasKilled(t *testing.T) {
	services.Need(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // for the server's own user
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStartAndWait$")
	child.Env = append(os.Environ(), asChild+"=1", "TMPDIR="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 200)
	n, err := out.Read(buffer)
	_, rest, _ := strings.Cut(string(buffer[:n]), "at ")
	addr, _, found := strings.Cut(rest, "\n")
	if err != nil || !found {
		t.Fatalf("it said %q, %v", buffer[:n], err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		conn, dialled := net.Dial("tcp", addr)
		if dialled == nil {
			conn.Close()
		} else if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left in the folder: %v; Redis: %v", left, dialled)
		}
	}
}
