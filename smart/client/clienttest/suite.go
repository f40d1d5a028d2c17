package clienttest

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

// full is an app with every field set.
func full(id string) client.App {
	at := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	return client.App{
		Client: client.Client{
			ID: id, Name: "Näme", Owner: "Owner", URL: "https://app.example/", Auth: client.SecretBasic,
			SecretHash: "$argon2id$", RedirectURIs: []string{"https://app.example/cb", "http://127.0.0.1/cb"}, AnyLoopbackPort: true,
			Scopes: "openid patient/*.rs", Sources: []string{"a", "b"}, Logo: "https://app.example/logo.png",
			Contacts: []string{"dev@app.example"}, Terms: "https://app.example/tos", Policy: "https://app.example/policy",
			LaunchURIs: []string{"https://app.example/launch"}, AccessTTL: 10 * time.Minute, GrantTTL: 48 * time.Hour,
			JWKS: []byte(`{"keys":[]}`), JWKSURI: "https://app.example/keys", IDTokenAlg: "ES256",
		},
		State: client.Pending, Origin: client.ByItself, Revision: 1, Created: at, Decided: at.Add(time.Hour),
		DecidedBy: "somebody", Why: "because", Registration: []byte("0123456789abcdef0123456789abcdef"),
		Software: "https://issuer.example", SoftwareID: "sid", SoftwareVersion: "1",
	}
}

// RunStore holds a store to what client.Store says.
func RunStore(t *testing.T, open func(t *testing.T) client.Store) {
	t.Run("keeps every field", func(t *testing.T) {
		s := open(t)
		for _, want := range []client.App{
			full("full"),
			{Client: client.Client{ID: "bare", Name: "Bare", Auth: client.Public}, State: client.Approved, Origin: client.ByOperator, Revision: 1},
		} {
			create(t, s, want)
			got, err := s.App(t.Context(), want.ID)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
			}
		}
	})
	t.Run("unknown and taken ids", func(t *testing.T) {
		s := open(t)
		create(t, s, full("a"))
		if _, err := s.App(t.Context(), "A"); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("App of another spelling: %v", err)
		}
		other := full("a")
		other.Name = "Taker"
		if err := s.CreateApp(t.Context(), other); !errors.Is(err, client.ErrTaken) {
			t.Errorf("CreateApp: %v", err)
		}
		if got, err := s.App(t.Context(), "a"); err != nil || got.Name != "Näme" {
			t.Errorf("the id was taken over: %v, %v", got.Name, err)
		}
		if err := s.UpdateApp(t.Context(), full("b")); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("UpdateApp: %v", err)
		}
		if err := s.DeleteApp(t.Context(), "b", time.Now()); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("DeleteApp: %v", err)
		}
	})
	t.Run("lists by state, oldest first", func(t *testing.T) { runList(t, open(t)) })
	t.Run("updates what was read", func(t *testing.T) { runUpdate(t, open(t)) })
	t.Run("deletes", func(t *testing.T) {
		s := open(t)
		create(t, s, full("a"))
		if err := s.DeleteApp(t.Context(), "a", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.App(t.Context(), "a"); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("App: %v", err)
		}
		create(t, s, full("a"))
	})
}

func create(t *testing.T, s client.Store, a client.App) {
	t.Helper()
	if err := s.CreateApp(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

func runList(t *testing.T, s client.Store) {
	t.Helper()
	for i, id := range []string{"c", "a", "b"} {
		a := full(id)
		a.Created = a.Created.Add(time.Duration(i) * time.Second)
		if id == "a" {
			a.State = client.Approved
		}
		create(t, s, a)
	}
	for _, c := range []struct {
		state client.State
		limit int
		want  string
	}{{"", 10, "cab"}, {"", 2, "ca"}, {client.Pending, 10, "cb"}, {client.Approved, 10, "a"}, {client.Suspended, 10, ""}} {
		list, err := s.Apps(t.Context(), c.state, c.limit)
		got := ""
		for _, a := range list {
			got += a.ID
		}
		if err != nil || got != c.want {
			t.Errorf("Apps(%q, %d) = %q, %v; want %q", c.state, c.limit, got, err, c.want)
		}
	}
}

func runUpdate(t *testing.T, s client.Store) {
	t.Helper()
	create(t, s, full("a"))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a := full("a")
			a.Name, a.State, a.Registration = "New", client.Suspended, nil
			switch err := s.UpdateApp(t.Context(), a); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, client.ErrChanged):
				t.Errorf("UpdateApp: %v", err)
			}
		})
	}
	wg.Wait()
	got, err := s.App(t.Context(), "a")
	if won.Load() != 1 || err != nil || got.Revision != 2 || got.Name != "New" || got.State != client.Suspended || got.Registration != nil {
		t.Errorf("%d won; %+v, %v", won.Load(), got, err)
	}
}
