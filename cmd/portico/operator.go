package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/portico-fhir/portico/smart/apps"
)

// operator is a caller of the operator's API.
type operator struct {
	base       string
	credential string
	by         string
	std        streams
}

// call sends one request and decodes the answer into out.
func (o *operator) call(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+path, reader) //nolint:gosec,nolintlint // G704: the address of the operator's own listener
	if err != nil {
		return fmt.Errorf("the operator's API: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+o.credential)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// No proxy: the credential is for loopback alone.
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := c.Do(req) //nolint:gosec,nolintlint // G704: as above
	if err != nil {
		return fmt.Errorf("the server cannot be reached at %s; is it running? %w", o.base, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("the operator's API: %w", err)
	}
	if r, ok := out.(*readiness); ok && res.StatusCode == http.StatusServiceUnavailable && json.Unmarshal(raw, r) == nil && len(r.Checks) > 0 {
		return nil // not ready is an answer, and says what is not
	}
	if res.StatusCode >= http.StatusBadRequest {
		return refusedBy(res.StatusCode, raw)
	}
	if out == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("the operator's API gave an answer that cannot be read: %w", err)
	}
	return nil
}

func refusedBy(status int, raw []byte) error {
	var said struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(raw, &said); err != nil || said.Description == "" {
		return fmt.Errorf("the operator's API answered %d", status)
	}
	return fmt.Errorf("%s (%s)", said.Description, said.Code)
}

func (o *operator) list(ctx context.Context, f *appsFlags) error {
	var got apps.List
	if err := o.call(ctx, http.MethodGet, "/apps?"+url.Values{"state": {f.state}}.Encode(), nil, &got); err != nil {
		return err
	}
	if f.json {
		return o.print(got)
	}
	if len(got.Apps) == 0 {
		say(o.std.out, "No app is %s.\n", cmp.Or(f.state, "known here"))
		return nil
	}
	t := tabwriter.NewWriter(o.std.out, 0, 4, 2, ' ', 0)
	say(t, "STATE\tCLIENT ID\tNAME\tFROM\tDECIDED\tBY\n")
	for _, a := range got.Apps {
		say(t, "%s\t%s\t%s\t%s\t%s\t%s\n", a.State, a.ClientID, a.Name, a.Origin, dash(a.Decided), dash(a.DecidedBy))
	}
	return t.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (o *operator) show(ctx context.Context, f *appsFlags) error {
	var got apps.View
	if err := o.call(ctx, http.MethodGet, "/apps/"+url.PathEscape(f.id), nil, &got); err != nil {
		return err
	}
	return o.describe(got, f.json)
}

// describe prints an app for people.
func (o *operator) describe(a apps.View, asJSON bool) error {
	if asJSON {
		return o.print(a)
	}
	scopes := a.Scope
	if scopes == "" {
		scopes = "all that a patient app may have"
	}
	sources := strings.Join(a.Sources, " ")
	if sources == "" {
		sources = "all"
	}
	revision := ""
	if a.Revision > 0 { // those of the configuration file have none
		revision = strconv.FormatInt(a.Revision, 10)
	}
	keys := a.JWKSURI
	if len(a.JWKS) > 0 {
		keys = "registered by value"
	}
	t := tabwriter.NewWriter(o.std.out, 0, 4, 2, ' ', 0)
	for _, line := range [][2]string{
		{"client id", a.ClientID}, {"name", a.Name}, {"state", a.State}, {"revision", revision}, {"decided", a.Decided}, {"by", a.DecidedBy}, {"why", a.Why},
		{"from", a.Origin}, {"vouched for by", a.Software}, {"owner", a.Owner}, {"contacts", strings.Join(a.Contacts, " ")}, {"home page", a.URL},
		{"terms", a.Terms}, {"policy", a.Policy}, {"logo", a.Logo}, {"authenticates with", a.AuthMethod}, {"keys", keys},
		{"redirects to", strings.Join(a.RedirectURIs, " ")}, {"launched at", strings.Join(a.LaunchURIs, " ")}, {"may ask for", scopes},
		{"sources", sources}, {"access lifetime", a.AccessLifetime}, {"grant lifetime", a.GrantLifetime}, {"secret", a.Secret},
	} {
		if line[1] != "" {
			say(t, "%s\t%s\n", line[0], line[1])
		}
	}
	return t.Flush()
}

func (o *operator) print(v any) error {
	e := json.NewEncoder(o.std.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// terms is the body of a decision.
func (o *operator) terms(f *appsFlags) map[string]any {
	body := map[string]any{"by": o.by, "why": f.why}
	f.Visit(func(given *flag.Flag) {
		switch given.Name {
		case "revision":
			body["revision"] = f.revision
		case "scopes":
			body["scope"] = f.scopes
		case "sources":
			body["sources"] = strings.FieldsFunc(f.sources, func(r rune) bool { return r == ',' || r == ' ' })
		case "access-lifetime":
			body["access_lifetime"] = f.access
		case "grant-lifetime":
			body["grant_lifetime"] = f.grant
		}
	})
	return body
}

func (o *operator) decide(ctx context.Context, f *appsFlags) error {
	var got apps.View
	if err := o.call(ctx, http.MethodPost, "/apps/"+url.PathEscape(f.id)+"/"+f.kind, o.terms(f), &got); err != nil {
		return err
	}
	if f.json {
		return o.print(got)
	}
	say(o.std.out, "%s (%s) is %s.\n", got.Name, got.ClientID, got.State)
	return nil
}

func (o *operator) add(ctx context.Context, f *appsFlags) error {
	body := o.terms(f)
	for name, v := range map[string]string{"client_id": f.id, "client_name": f.name, "client_owner": f.owner, "client_uri": f.homepage, "jwks_uri": f.jwksURI,
		"logo_uri": f.logo, "tos_uri": f.terms, "policy_uri": f.policy, "id_token_signed_response_alg": f.idTokenAlg} {
		if v != "" {
			body[name] = v
		}
	}
	for name, v := range map[string][]string{"redirect_uris": f.redirects, "launch_uris": f.launches, "contacts": f.contacts} {
		if len(v) > 0 {
			body[name] = v
		}
	}
	switch f.kind {
	case "public":
		body["token_endpoint_auth_method"] = "none"
	case "confidential":
		body["token_endpoint_auth_method"] = "client_secret_basic"
	case "key":
		body["token_endpoint_auth_method"] = "private_key_jwt"
		if len(f.redirects) == 0 {
			body["grant_types"] = []string{"client_credentials"}
		}
	default:
		say(o.std.err, "portico apps add: -type must be public, confidential or key\n")
		return errUsage
	}
	if f.jwksFile != "" {
		keys, err := os.ReadFile(f.jwksFile) //nolint:gosec // whoever runs the command names the file
		if err != nil {
			return fmt.Errorf("the keys: %w", err)
		}
		body["jwks"] = json.RawMessage(keys)
	}
	var got apps.View
	if err := o.call(ctx, http.MethodPost, "/apps", body, &got); err != nil {
		return err
	}
	if err := o.describe(got, f.json); err != nil || got.Secret == "" || f.json {
		return err
	}
	say(o.std.out, "\nThe secret is shown this once. Give it to the makers of the app.\n")
	return nil
}

func (o *operator) secret(ctx context.Context, f *appsFlags) error {
	var got struct {
		ClientID string `json:"client_id"`
		Secret   string `json:"client_secret"`
	}
	if err := o.call(ctx, http.MethodPost, "/apps/"+url.PathEscape(f.id)+"/secret", o.terms(f), &got); err != nil {
		return err
	}
	if f.json {
		return o.print(map[string]string{"client_id": got.ClientID, "client_secret": got.Secret})
	}
	say(o.std.out, "%s\n", got.Secret)
	say(o.std.err, "The old secret of %s works no more. The new one is shown this once.\n", got.ClientID)
	return nil
}

func (o *operator) remove(ctx context.Context, f *appsFlags) error {
	if err := o.call(ctx, http.MethodDelete, "/apps/"+url.PathEscape(f.id), o.terms(f), nil); err != nil {
		return err
	}
	say(o.std.out, "%s is deleted, and every grant to it has ended.\n", f.id)
	return nil
}
