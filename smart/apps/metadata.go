package apps

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/portico-fhir/portico/smart/client"
)

// Metadata is what an app says of itself (RFC 7591 §2; the id_token's algorithm
// of OpenID Connect Dynamic Client Registration 1.0 §2; launch_uris of our own).
// What is not here is ignored, as RFC 7591 §2 asks.
type Metadata struct {
	RedirectURIs    []string       `json:"redirect_uris,omitempty"`
	AuthMethod      string         `json:"token_endpoint_auth_method,omitempty"`
	AuthAlg         string         `json:"token_endpoint_auth_signing_alg,omitempty"`
	GrantTypes      []string       `json:"grant_types,omitempty"`
	ResponseTypes   []string       `json:"response_types,omitempty"`
	Name            string         `json:"client_name,omitempty"`
	URL             string         `json:"client_uri,omitempty"`
	Logo            string         `json:"logo_uri,omitempty"`
	Scope           string         `json:"scope,omitempty"`
	Contacts        []string       `json:"contacts,omitempty"`
	Terms           string         `json:"tos_uri,omitempty"`
	Policy          string         `json:"policy_uri,omitempty"`
	JWKSURI         string         `json:"jwks_uri,omitempty"`
	JWKS            jsontext.Value `json:"jwks,omitempty"`
	SoftwareID      string         `json:"software_id,omitempty"`
	SoftwareVersion string         `json:"software_version,omitempty"`
	Statement       string         `json:"software_statement,omitempty"`
	IDTokenAlg      string         `json:"id_token_signed_response_alg,omitempty"`
	LaunchURIs      []string       `json:"launch_uris,omitempty"`
	Owner           string         `json:"client_owner,omitempty"`
}

// The methods, grants and responses of RFC 7591 §2 that are known here.
const (
	secretPost        = "client_secret_post"
	authorizationCode = "authorization_code"
	refreshToken      = "refresh_token"
	clientCredentials = "client_credentials"
)

const (
	maxName = 100
	maxList = 20
)

// readMetadata decodes what an app sent. A name that stands twice could be read
// in two ways, so it is refused.
func readMetadata(body []byte, into any) error {
	if err := jsonv2.Unmarshal(body, into); err != nil {
		if field, ok := errors.AsType[*jsonv2.SemanticError](err); ok && field.JSONPointer != "" {
			return refuse(invalidMetadata, "%s has the wrong type.", strings.TrimPrefix(string(field.JSONPointer), "/"))
		}
		return refuse(invalidMetadata, "The body is not a JSON object of client metadata in which each name stands once.")
	}
	return nil
}

// fill checks metadata and writes it into an app, all but its id and secret.
func (s *Server) fill(a *client.App, m Metadata) error {
	if err := checkText(m); err != nil {
		return err
	}
	auth, err := authOf(m)
	if err != nil {
		return err
	}
	a.Auth = auth
	a.Name, a.Owner, a.URL, a.Logo, a.Terms, a.Policy = m.Name, m.Owner, m.URL, m.Logo, m.Terms, m.Policy
	a.Contacts, a.RedirectURIs, a.LaunchURIs = m.Contacts, m.RedirectURIs, m.LaunchURIs
	a.Scopes, a.IDTokenAlg = strings.Join(strings.Fields(m.Scope), " "), m.IDTokenAlg
	a.SoftwareID, a.SoftwareVersion = m.SoftwareID, m.SoftwareVersion
	a.JWKSURI, a.JWKS = m.JWKSURI, nil
	if len(m.JWKS) > 0 {
		a.JWKS = []byte(m.JWKS)
	}
	// RFC 8252 §7.3: the port of a loopback redirect is the app's to choose.
	a.AnyLoopbackPort = slices.ContainsFunc(m.RedirectURIs, func(u string) bool {
		return strings.HasPrefix(u, "http://127.0.0.1") || strings.HasPrefix(u, "http://[::1]") || strings.HasPrefix(u, "http://localhost")
	})
	if err := s.checkURLs(*a); err != nil {
		return err
	}
	return checkGrants(m, *a)
}

// authOf reads the method of authentication; without one it is
// client_secret_basic (RFC 7591 §2).
func authOf(m Metadata) (client.Auth, error) {
	hasKeys := len(m.JWKS) > 0 || m.JWKSURI != ""
	if len(m.JWKS) > 0 && m.JWKSURI != "" {
		return "", refuse(invalidMetadata, "jwks and jwks_uri must not both be given.")
	}
	if len(m.JWKS) > 0 {
		if _, err := client.ParseJWKS(m.JWKS); err != nil {
			return "", refuse(invalidMetadata, "jwks: %s.", plain(err))
		}
	}
	switch m.AuthMethod {
	case "", string(client.SecretBasic), secretPost:
		return client.SecretBasic, nil
	case string(client.Public):
		return client.Public, nil
	case string(client.PrivateKeyJWT):
		if !hasKeys {
			return "", refuse(invalidMetadata, "private_key_jwt needs jwks or jwks_uri.")
		}
		if m.AuthAlg != "" && m.AuthAlg != "RS384" && m.AuthAlg != "ES384" {
			return "", refuse(invalidMetadata, "token_endpoint_auth_signing_alg must be RS384 or ES384.")
		}
		return client.PrivateKeyJWT, nil
	default:
		return "", refuse(invalidMetadata, "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or private_key_jwt.")
	}
}

// checkGrants holds grant_types and response_types to each other (RFC 7591
// §2.1) and to the rest.
func checkGrants(m Metadata, a client.App) error {
	grants := m.GrantTypes
	if grants == nil {
		grants = []string{authorizationCode}
	}
	for _, g := range grants {
		if g != authorizationCode && g != refreshToken && g != clientCredentials {
			return refuse(invalidMetadata, "grant_types may hold authorization_code, refresh_token and client_credentials.")
		}
	}
	code := slices.Contains(grants, authorizationCode)
	switch {
	case len(grants) == 0:
		return refuse(invalidMetadata, "grant_types is empty.")
	case slices.Contains(grants, refreshToken) && !code:
		return refuse(invalidMetadata, "refresh_token needs authorization_code in grant_types.")
	case slices.Contains(grants, clientCredentials) && a.Auth != client.PrivateKeyJWT:
		return refuse(invalidMetadata, "client_credentials needs private_key_jwt.")
	case slices.ContainsFunc(m.ResponseTypes, func(r string) bool { return r != "code" }):
		return refuse(invalidMetadata, "response_types may hold code alone.")
	case m.ResponseTypes != nil && code != (len(m.ResponseTypes) > 0):
		return refuse(invalidMetadata, "response_types must be code when grant_types has authorization_code, and empty otherwise.")
	case code && len(a.RedirectURIs) == 0:
		return refuse(invalidRedirectURI, "redirect_uris is missing.")
	case !code && len(a.RedirectURIs) > 0:
		return refuse(invalidMetadata, "redirect_uris do nothing without authorization_code in grant_types.")
	}
	return nil
}

// checkURLs holds every URL of an app to what may be fetched or opened.
func (s *Server) checkURLs(a client.App) error {
	for _, u := range []struct{ name, url string }{
		{"client_uri", a.URL}, {"logo_uri", a.Logo}, {"tos_uri", a.Terms}, {"policy_uri", a.Policy}, {"jwks_uri", a.JWKSURI},
	} {
		if u.url == "" {
			continue
		}
		if err := s.o.URLs.Check(u.url); err != nil {
			return refuse(invalidMetadata, "%s: %s.", u.name, strings.TrimPrefix(plain(err), "fetch: refused: "))
		}
	}
	// The whole, as configured clients are held to; a secret is made afterwards.
	whole := a.Client
	whole.ID, whole.SecretHash = "x", ""
	if whole.Auth == client.SecretBasic {
		whole.SecretSHA256 = make([]byte, 32)
	}
	err := client.Check(whole, s.o.CheckScopes)
	switch {
	case errors.Is(err, client.ErrRedirect):
		return refuse(invalidRedirectURI, "%s.", plain(err))
	case err != nil:
		return refuse(invalidMetadata, "%s.", plain(err))
	}
	return nil
}

// checkText bounds what people will read when they decide.
func checkText(m Metadata) error {
	if m.Name == "" {
		return refuse(invalidMetadata, "client_name is missing: people are asked whether they trust it.")
	}
	for _, t := range []struct{ name, text string }{
		{"client_name", m.Name}, {"client_owner", m.Owner}, {"software_id", m.SoftwareID}, {"software_version", m.SoftwareVersion},
	} {
		if !readable(t.text) || utf8.RuneCountInString(t.text) > maxName {
			return refuse(invalidMetadata, "%s must be plain text of up to %d characters.", t.name, maxName)
		}
	}
	if max(len(m.RedirectURIs), len(m.Contacts), len(m.LaunchURIs), len(m.GrantTypes)) > maxList {
		return refuse(invalidMetadata, "No list may have more than %d entries.", maxList)
	}
	for _, c := range m.Contacts {
		if a, err := mail.ParseAddress(c); err != nil || a.Address != c || len(c) > 254 {
			return refuse(invalidMetadata, "contacts must be e-mail addresses.")
		}
	}
	return nil
}

// readable refuses what looks like something else: control characters, and
// those that change the direction of what follows.
func readable(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
	})
}

// plain makes an error's text fit for error_description (RFC 6749 §5.2).
func plain(err error) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, err.Error())
}

// describe gives an app's metadata as it is registered, all of it (RFC 7591
// §3.2.1).
func describe(a client.App) Metadata {
	m := Metadata{
		RedirectURIs: a.RedirectURIs, AuthMethod: string(a.Auth), Name: a.Name, URL: a.URL, Logo: a.Logo, Scope: a.Scopes,
		Contacts: a.Contacts, Terms: a.Terms, Policy: a.Policy, JWKSURI: a.JWKSURI, JWKS: jsontext.Value(a.JWKS),
		SoftwareID: a.SoftwareID, SoftwareVersion: a.SoftwareVersion, IDTokenAlg: a.IDTokenAlg, LaunchURIs: a.LaunchURIs, Owner: a.Owner,
	}
	if len(a.RedirectURIs) > 0 {
		m.GrantTypes, m.ResponseTypes = []string{authorizationCode}, []string{"code"}
		if a.Scopes == "" || slices.ContainsFunc(strings.Fields(a.Scopes), func(w string) bool { return w == "offline_access" || w == "online_access" }) {
			m.GrantTypes = append(m.GrantTypes, refreshToken)
		}
	}
	if a.Auth == client.PrivateKeyJWT && strings.Contains(" "+a.Scopes, " system/") {
		m.GrantTypes = append(m.GrantTypes, clientCredentials)
	}
	return m
}

// difference names what two registrations differ in, for the reviewer.
func difference(before, after client.App) string {
	var names []string
	one, two := fields(describe(before)), fields(describe(after))
	for _, follows := range []string{"grant_types", "response_types"} { // from the rest
		delete(one, follows)
		delete(two, follows)
	}
	for name := range one {
		if string(one[name]) != string(two[name]) {
			names = append(names, name)
		}
	}
	for name := range two {
		if _, ok := one[name]; !ok {
			names = append(names, name)
		}
	}
	if before.Software != after.Software {
		names = append(names, "software_statement")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func fields(m Metadata) map[string]json.RawMessage {
	text, err := json.Marshal(m)
	var out map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil { // our own type
		panic(fmt.Errorf("apps: compare metadata: %w", err))
	}
	return out
}
