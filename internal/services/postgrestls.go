package services

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Secure makes the server speak TLS too, with a certificate for 127.0.0.1. It gives
// the authority that the certificate is from, and another.
func (p *Postgres) Secure(t testing.TB) (caFile, otherCAFile string) {
	t.Helper()
	caFile, cert, key := authority(t)
	otherCAFile, _, _ = authority(t)
	for from, name := range map[string]string{cert: "server.crt", key: "server.key"} {
		text, err := os.ReadFile(from) //nolint:gosec // G304: made above
		to := filepath.Join(p.dir, "data", name)
		if err == nil {
			err = os.WriteFile(to, text, 0o600) //nolint:gosec // G703: in a folder of ours
		}
		if err == nil && p.as != nil {
			err = os.Chown(to, int(p.as.Uid), int(p.as.Gid))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.exec("ALTER SYSTEM SET ssl = on"), p.exec("SELECT pg_reload_conf()")); err != nil {
		t.Fatal(err)
	}
	return caFile, otherCAFile
}
