package apps_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/smart/client"
)

func TestAdminAPIIsForTheOperatorAlone(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for name, header := range map[string][]string{
		"nothing": nil, "another": {"Bearer x" + credential[1:]}, "Basic": {"Basic " + credential}, "empty": {"Bearer "},
		"twice": {"Bearer " + credential, "Bearer " + credential}, "a part": {"Bearer " + credential[:31]},
	} {
		for _, c := range []struct{ method, path string }{
			{http.MethodGet, "/apps"}, {http.MethodPost, "/apps"}, {http.MethodDelete, "/apps/x"}, {http.MethodPost, "/apps/x/approve"}, {http.MethodGet, "/none"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, h.admin.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header["Authorization"] = header
			res, err := http.DefaultClient.Do(req)
			if err != nil || res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s %s: %v %v", name, c.method, c.path, res, err)
			}
		}
	}
	h.operator(http.MethodGet, "/none", nil).wantError(t, "an unknown URL", http.StatusNotFound, "not_found", "")
	h.operator(http.MethodPut, "/apps", nil).wantError(t, "a method", http.StatusMethodNotAllowed, "invalid_request", "")
	// None of it is on the public listener.
	for _, path := range []string{"/apps", "/oauth/apps", "/admin/apps"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.public.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+credential)
		if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNotFound {
			t.Errorf("public %s: %v %v", path, res, err)
		}
	}
}

func TestOperatorAddsApps(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for _, c := range []struct {
		name   string
		change object
		status int
		code   string
		says   string
	}{
		{"a configured id", object{"client_id": "configured"}, http.StatusConflict, "taken", "configuration"},
		{"an id with a slash", object{"client_id": "a/b"}, http.StatusBadRequest, "invalid_client_metadata", "client_id"},
		{"a bad redirect", object{"redirect_uris": []string{"http://x.example"}}, http.StatusBadRequest, "invalid_redirect_uri", "https"},
		{"an unknown source", object{"sources": []string{"nowhere"}}, http.StatusBadRequest, "invalid_client_metadata", "source"},
		{"a long access token", object{"access_lifetime": "2h"}, http.StatusBadRequest, "invalid_client_metadata", "access_lifetime"},
		{"a lifetime without unit", object{"grant_lifetime": "90"}, http.StatusBadRequest, "invalid_client_metadata", "grant_lifetime"},
		{"a statement", object{"software_statement": "x"}, http.StatusBadRequest, "invalid_client_metadata", "software_statement"},
		{"who in two lines", object{"by": "a\nb"}, http.StatusBadRequest, "invalid_request", "by"},
	} {
		h.operator(http.MethodPost, "/apps", good(c.change)).wantError(t, c.name, c.status, c.code, c.says)
	}
	a := h.operator(http.MethodPost, "/apps", good(object{
		"client_id": "mine", "token_endpoint_auth_method": "client_secret_basic", "sources": []string{"demo"}, "access_lifetime": "10m", "grant_lifetime": "48h",
		"by": "ann", "why": "ours",
	}))
	secret := a.text("client_secret")
	if a.status != http.StatusCreated || secret == "" || a.text("state") != "approved" || a.text("origin") != "operator" || a.text("decided_by") != "ann" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	c, err := h.registry.Client(t.Context(), "mine")
	if err != nil || !c.CheckSecret(secret) || c.AccessTTL.String() != "10m0s" || c.GrantTTL.String() != "48h0m0s" || c.Sources[0] != "demo" {
		t.Errorf("%+v %v", c, err)
	}
	h.operator(http.MethodPost, "/apps", good(object{"client_id": "mine"})).wantError(t, "twice", http.StatusConflict, "taken", "id")
	if a := h.operator(http.MethodGet, "/apps/mine", nil); a.text("client_secret") != "" || strings.Contains(a.raw, "argon2id") || a.text("access_lifetime") != "10m0s" {
		t.Errorf("show: %s", a.raw)
	}
	// A new secret: the old one stops at once.
	b := h.operator(http.MethodPost, "/apps/mine/secret", nil)
	c, err = h.registry.Client(t.Context(), "mine")
	if err != nil || c.CheckSecret(secret) || !c.CheckSecret(b.text("client_secret")) {
		t.Errorf("new secret: %s %v", b.raw, err)
	}
	made := h.operator(http.MethodPost, "/apps", good(nil))
	if len(made.text("client_id")) != 43 {
		t.Errorf("no id chosen: %s", made.raw)
	}
	h.operator(http.MethodPost, "/apps/"+made.text("client_id")+"/secret", nil).wantError(t, "a secret for a public app", http.StatusBadRequest, "invalid_request", "secret")
}

func TestOperatorDecides(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	id := h.register(good(nil)).text("client_id")
	list := func(state string) string {
		t.Helper()
		a := h.operator(http.MethodGet, "/apps?state="+state, nil)
		var ids []string
		all, _ := a.body["apps"].([]any)
		for _, one := range all {
			app, _ := one.(map[string]any)
			text, _ := app["client_id"].(string)
			ids = append(ids, strings.ReplaceAll(text, id, "ID"))
		}
		return strings.Join(ids, " ")
	}
	if got := list("pending") + "|" + list("approved") + "|" + list(""); got != "ID|configured|configured ID" {
		t.Errorf("lists: %s", got)
	}
	h.operator(http.MethodGet, "/apps?state=odd", nil).wantError(t, "a state", http.StatusBadRequest, "invalid_request", "state")
	// What was looked at is approved, not what the app has become since.
	seen, _ := h.operator(http.MethodGet, "/apps/"+id, nil).body["revision"].(float64)
	h.operator(http.MethodPost, "/apps/"+id+"/approve", object{"why": "checked", "revision": seen + 1}).wantError(t, "another revision", http.StatusConflict, "changed", "")
	if got := list("approved"); got != "configured" {
		t.Errorf("approved: %s", got)
	}
	a := h.operator(http.MethodPost, "/apps/"+id+"/approve", object{"by": "ann", "why": "checked", "revision": seen, "scope": "openid", "sources": []string{"demo"}})
	c, err := h.registry.Client(t.Context(), id)
	if a.status != http.StatusOK || err != nil || c.Scopes != "openid" || c.Sources[0] != "demo" {
		t.Errorf("approve with narrower terms: %s %+v %v", a.raw, c, err)
	}
	h.operator(http.MethodPost, "/apps/"+id+"/approve", object{"scope": "patient/*.sr"}).wantError(t, "bad scopes", http.StatusBadRequest, "invalid_client_metadata", "scope")
	h.operator(http.MethodPost, "/apps/"+id+"/suspend", nil).wantError(t, "no reason", http.StatusBadRequest, "invalid_request", "why")
	if a := h.operator(http.MethodPost, "/apps/"+id+"/suspend", object{"why": "it leaks"}); a.text("state") != "suspended" || a.text("why") != "it leaks" || a.text("decided_by") != "operator" {
		t.Errorf("suspend: %s", a.raw)
	}
	if err := h.usable(id); !errors.Is(err, client.ErrSuspended) {
		t.Error(err)
	}
	for _, path := range []string{"/apps/configured/approve", "/apps/configured/suspend", "/apps/configured/secret"} {
		h.operator(http.MethodPost, path, object{"why": "x"}).wantError(t, path, http.StatusConflict, "configured", "configuration file")
	}
	h.operator(http.MethodDelete, "/apps/configured", nil).wantError(t, "delete", http.StatusConflict, "configured", "configuration file")
	for _, path := range []string{"/apps/none/approve", "/apps/none/secret", "/apps/" + url.PathEscape("https://a.example/b") + "/approve"} {
		h.operator(http.MethodPost, path, nil).wantError(t, path, http.StatusNotFound, "not_found", "")
	}
	if a := h.operator(http.MethodDelete, "/apps/"+id, object{"by": "ann", "why": "gone"}); a.status != http.StatusNoContent {
		t.Errorf("delete: %d %s", a.status, a.raw)
	}
	var what []string
	for _, d := range h.log.all {
		what = append(what, d.What+" by "+d.By)
	}
	if got := strings.Join(what, ", "); got != "app-approved by ann, app-suspended by operator, app-deleted by ann" {
		t.Errorf("recorded: %s", got)
	}
	// What cannot be recorded does not happen.
	id = h.register(good(nil)).text("client_id")
	h.log.err = errors.New("disk full")
	h.operator(http.MethodPost, "/apps/"+id+"/approve", nil).wantError(t, "unrecorded", http.StatusServiceUnavailable, "temporarily_unavailable", "")
	if err := h.usable(id); !errors.Is(err, client.ErrPending) {
		t.Errorf("approved without record: %v", err)
	}
}
