package store_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/internal/services"
)

func TestPostgreSQLIsTrustedByItsCertificate(t *testing.T) {
	p := services.StartPostgres(t, services.PostgresOptions{})
	place := p.Database(t)
	ca, other := p.Secure(t)
	with := func(mode, ca, host string) store.Options {
		u, err := url.Parse(place)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("sslmode", mode)
		q.Set("sslrootcert", ca)
		u.RawQuery, u.Host = q.Encode(), strings.Replace(u.Host, "127.0.0.1", host, 1)
		return at(u.String())
	}
	for end := time.Now().Add(time.Minute); ; { // it reads its configuration when it gets to it
		s, err := store.Open(t.Context(), with("verify-full", ca, "127.0.0.1"))
		if err == nil {
			if on, err := s.SecureConnection(t.Context()); err != nil || !on {
				t.Errorf("TLS: %v, %v", on, err)
			}
			_ = s.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	for name, o := range map[string]store.Options{
		"another authority":    with("verify-full", other, "127.0.0.1"),
		"another name":         with("verify-full", ca, "localhost"),
		"the authority, alone": with("verify-ca", other, "127.0.0.1"),
	} {
		s, err := store.Open(t.Context(), o)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), services.PostgresPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
