package apps_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/smart/apps"
	"github.com/portico-fhir/portico/smart/client"
)

func TestManagingARegistration(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	made := h.register(good(object{"token_endpoint_auth_method": "client_secret_basic"}))
	id, token, secret := made.text("client_id"), made.text("registration_access_token"), made.text("client_secret")
	url := h.public.URL + "/oauth/register/" + id
	other := h.register(good(nil))

	for name, c := range map[string]struct{ url, token string }{
		"no token": {url, ""}, "a wrong token": {url, "." + token[1:]}, "another app's token": {url, other.text("registration_access_token")},
		"an unknown app": {h.public.URL + "/oauth/register/nobody", token}, "the client secret": {url, secret},
		"a configured app": {h.public.URL + "/oauth/register/configured", token}, "a broken escape": {h.public.URL + "/oauth/register/%2f", token},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			a := h.call(method, c.url, c.token, good(object{"client_id": id}))
			a.wantError(t, name+" "+method, http.StatusUnauthorized, "invalid_token", "")
			if !strings.Contains(a.header.Get("WWW-Authenticate"), `Bearer`) {
				t.Errorf("%s: %v", name, a.header)
			}
		}
	}
	read := h.call(http.MethodGet, url, token, nil)
	if read.status != http.StatusOK || read.text("client_id") != id || read.text("registration_access_token") != token || read.text("client_secret") != "" ||
		read.text("registration_state") != "pending" {
		t.Errorf("read: %d %s", read.status, read.raw)
	}
	h.call(http.MethodPost, url, token, "{}").wantError(t, "POST", http.StatusMethodNotAllowed, "invalid_request", "PUT")

	update := func(change object) object {
		out := good(object{"client_id": id, "token_endpoint_auth_method": "client_secret_basic"})
		for k, v := range change {
			out[k] = v
		}
		return out
	}
	for _, c := range []struct {
		name   string
		change object
		code   string
		says   string
	}{
		{"another id", object{"client_id": "other"}, "invalid_request", "client_id"},
		{"a wrong secret", object{"client_secret": "x"}, "invalid_request", "client_secret"},
		{"a token", object{"registration_access_token": token}, "invalid_request", "left out"},
		{"a URI", object{"registration_client_uri": url}, "invalid_request", "left out"},
		{"an expiry", object{"client_secret_expires_at": 0}, "invalid_request", "left out"},
		{"an issue time", object{"client_id_issued_at": 1}, "invalid_request", "left out"},
		{"a bad redirect", object{"redirect_uris": []string{"http://x.example/"}}, "invalid_redirect_uri", "https"},
		{"bad metadata", object{"scope": "patient/*.sr"}, "invalid_client_metadata", "scopes"},
	} {
		h.call(http.MethodPut, url, token, update(c.change)).wantError(t, c.name, http.StatusBadRequest, c.code, c.says)
	}

	// Nothing changed: what was approved stays approved.
	h.operator(http.MethodPost, "/apps/"+id+"/approve", nil)
	if a := h.call(http.MethodPut, url, token, update(object{"client_secret": secret})); a.status != http.StatusOK || a.text("registration_state") != "approved" {
		t.Errorf("the same again: %d %s", a.status, a.raw)
	}
	if err := h.usable(id); err != nil {
		t.Error(err)
	}
	// Changed: it waits for review, and what is left out is gone.
	a := h.call(http.MethodPut, url, token, update(object{"redirect_uris": []string{"https://evil.example/cb"}, "scope": ""}))
	if a.status != http.StatusOK || a.text("registration_state") != "pending" || a.text("scope") != "" || a.text("client_secret") != "" {
		t.Errorf("changed: %d %s", a.status, a.raw)
	}
	if err := h.usable(id); !errors.Is(err, client.ErrPending) {
		t.Errorf("a changed app is still usable: %v", err)
	}
	stored, err := h.store.App(t.Context(), id)
	if err != nil || stored.Why != "changed by itself: redirect_uris, scope" || !stored.CheckSecret(secret) {
		t.Errorf("%+v %v", stored, err)
	}
	// Suspended: it can be read, not changed and not deleted to come back new.
	h.operator(http.MethodPost, "/apps/"+id+"/suspend", object{"why": "it lied"})
	if a := h.call(http.MethodGet, url, token, nil); a.status != http.StatusOK || a.text("registration_state") != "suspended" {
		t.Errorf("read of a suspended app: %d %s", a.status, a.raw)
	}
	h.call(http.MethodPut, url, token, update(nil)).wantError(t, "PUT", http.StatusForbidden, "access_denied", "suspended")
	h.call(http.MethodDelete, url, token, nil).wantError(t, "DELETE", http.StatusForbidden, "access_denied", "suspended")

	h.operator(http.MethodPost, "/apps/"+id+"/approve", nil)
	if a := h.call(http.MethodDelete, url, token, nil); a.status != http.StatusNoContent || a.raw != "" {
		t.Errorf("delete: %d %s", a.status, a.raw)
	}
	h.call(http.MethodGet, url, token, nil).wantError(t, "after deletion", http.StatusUnauthorized, "invalid_token", "")
	if err := h.usable(id); !errors.Is(err, client.ErrUnknown) {
		t.Errorf("a deleted app: %v", err)
	}
}

func TestMethodOfAuthenticationMayChange(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *apps.Options) { o.Mode = apps.ApproveAll })
	made := h.register(good(nil))
	id, token := made.text("client_id"), made.text("registration_access_token")
	url := h.public.URL + "/oauth/register/" + id
	a := h.call(http.MethodPut, url, token, good(object{"client_id": id, "token_endpoint_auth_method": "client_secret_basic"}))
	secret := a.text("client_secret")
	if a.status != http.StatusOK || secret == "" || a.body["client_secret_expires_at"] == nil || a.text("registration_state") != "approved" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	a = h.call(http.MethodPut, url, token, good(object{"client_id": id}))
	stored, err := h.store.App(t.Context(), id)
	if a.status != http.StatusOK || err != nil || stored.SecretHash != "" || stored.Auth != client.Public {
		t.Errorf("back to public: %d %+v %v", a.status, stored, err)
	}
}
