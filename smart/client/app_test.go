package client_test

import (
	"errors"
	"testing"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
)

func TestConfiguredAndStoredAppsAreOneRegistry(t *testing.T) {
	t.Parallel()
	static, err := client.NewStatic(client.Options{Clients: []client.Client{app(func(c *client.Client) { c.Name = "Configured" })}})
	if err != nil {
		t.Fatal(err)
	}
	store := &clienttest.Memory{}
	for id, state := range map[string]client.State{
		"app": client.Suspended, "ok": client.Approved, "waits": client.Pending, "stopped": client.Suspended, "odd": "", "odder": "x",
	} {
		a := client.App{Client: app(func(c *client.Client) { c.ID = id }), State: state}
		if err := store.CreateApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	apps, err := client.NewApps(static, store)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]error{
		"app": nil, "ok": nil, "waits": client.ErrPending, "stopped": client.ErrSuspended, "odd": client.ErrPending, "odder": client.ErrPending,
		"none": client.ErrUnknown, "": client.ErrUnknown, "a\nb": client.ErrUnknown,
	} {
		c, err := apps.Client(t.Context(), id)
		if !errors.Is(err, want) || (want != nil && !errors.Is(err, client.ErrUnknown)) {
			t.Errorf("%q: %v, want %v", id, err, want)
		}
		if (err == nil) != (c.ID == id && id != "") {
			t.Errorf("%q: client %+v with %v", id, c, err)
		}
	}
	if c, err := apps.Client(t.Context(), "app"); err != nil || c.Name != "Configured" {
		t.Errorf("the configuration file does not win: %v, %v", c.Name, err)
	}
	if !apps.Configured(t.Context(), "app") || apps.Configured(t.Context(), "ok") {
		t.Error("Configured is wrong")
	}
	// From the moment it is stored.
	a, err := store.App(t.Context(), "ok")
	if err != nil {
		t.Fatal(err)
	}
	a.State = client.Suspended
	if err := store.UpdateApp(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := apps.Client(t.Context(), "ok"); !errors.Is(err, client.ErrSuspended) {
		t.Errorf("after suspension: %v", err)
	}
	if _, err := client.NewApps(static, nil); err == nil {
		t.Error("a registry without store")
	}
}
