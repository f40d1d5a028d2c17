package authz

import (
	"maps"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// smartConfiguration is {FHIR base}/.well-known/smart-configuration (SMART App
// Launch 2.2, "FHIR Authorization Endpoint and Capabilities Discovery").
type smartConfiguration struct {
	RegistrationEndpoint  string   `json:"registration_endpoint,omitempty"`
	Issuer                string   `json:"issuer"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	PushedEndpoint        string   `json:"pushed_authorization_request_endpoint"` // RFC 9126 §5
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms        []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	Capabilities          []string `json:"capabilities"`
}

// openIDConfiguration is {issuer}/.well-known/openid-configuration (OpenID
// Connect Discovery 1.0 §3, RFC 8414, RFC 9207 §3).
type openIDConfiguration struct {
	RegistrationEndpoint  string `json:"registration_endpoint,omitempty"`
	Issuer                string `json:"issuer"`
	JWKSURI               string `json:"jwks_uri"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	IntrospectionEndpoint string `json:"introspection_endpoint"`
	RevocationEndpoint    string `json:"revocation_endpoint"`
	PushedEndpoint        string `json:"pushed_authorization_request_endpoint"` // RFC 9126 §5
	// Absent would mean client_secret_basic alone (RFC 8414 §2).
	RevocationAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAlgs    []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAlgs []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`

	AuthMethods       []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms    []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	GrantTypes        []string `json:"grant_types_supported"`
	Scopes            []string `json:"scopes_supported"`
	ResponseTypes     []string `json:"response_types_supported"`
	ResponseModes     []string `json:"response_modes_supported"`
	ChallengeMethods  []string `json:"code_challenge_methods_supported"`
	SubjectTypes      []string `json:"subject_types_supported"`
	SigningAlgorithms []string `json:"id_token_signing_alg_values_supported"`
	Claims            []string `json:"claims_supported"`
	IssInResponse     bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter   bool     `json:"claims_parameter_supported"`
	RequestParameter  bool     `json:"request_parameter_supported"`
	// Absent would mean true (OpenID Connect Discovery 1.0 §3).
	RequestURIParameter bool `json:"request_uri_parameter_supported"`
}

// capabilities are those that work, and nothing else (requirements 352-371 of
// SMART App Launch 2.2: each listed one SHALL work).
func (s *Server) capabilities(src Source) []string {
	out := []string{
		"launch-standalone",
		"authorize-post",
		"client-public",
		"client-confidential-symmetric",
		"client-confidential-asymmetric",
		"sso-openid-connect",
		"context-standalone-patient",
		"permission-offline",
		"permission-online",
		"permission-patient",
		"permission-user",
		"permission-v1",
		"permission-v2",
	}
	if s.launches(src) {
		out = append(out, "launch-ehr", "context-ehr-patient", "context-ehr-encounter", "context-banner")
		if len(src.Style) > 0 {
			out = append(out, "context-style")
		}
	}
	return out
}

func authMethods() []string {
	return []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
}

// scopesSupported are examples of what may be granted, in both syntaxes.
func (s *Server) scopesSupported() []string {
	out := []string{scope.OpenID, scope.FHIRUser, scope.Profile, scope.LaunchPatient, scope.OfflineAccess, scope.OnlineAccess}
	if slices.ContainsFunc(s.o.Sources, s.launches) {
		out = append(out, scope.Launch, scope.LaunchEncounter)
	}
	for _, text := range []string{"patient/*.cruds", "patient/*.*", "user/*.cruds", "user/*.*"} {
		r, err := scope.ParseResource(text)
		if err != nil { // a constant
			panic(err)
		}
		if r, ok := r.Narrow(s.o.Access); ok {
			out = append(out, r.String())
		}
	}
	return append(out, s.granularSupported()...)
}

// writesSupported are the scopes to write that a source grants.
func writesSupported(src Source) []string {
	var out []string
	for _, typ := range slices.Sorted(maps.Keys(src.Writes)) {
		out = append(out, string(scope.Patient)+"/"+typ+"."+src.Writes[typ].String())
	}
	return out
}

func (s *Server) url(path string) string { return s.o.Issuer + path }

// SMARTConfiguration serves the smart-configuration of one source, to be
// mounted below its FHIR base.
func (s *Server) SMARTConfiguration(source string) http.Handler {
	src, known := s.source(source)
	return crossOrigin(http.MethodGet, handler.Adapt(func(w http.ResponseWriter, r *http.Request) error {
		if !known {
			return &Error{Code: invalidRequest, Description: "There is no such FHIR base here.", Status: http.StatusNotFound}
		}
		return serveDocument(w, r, smartConfiguration{
			Issuer: s.o.Issuer, JWKSURI: s.url(pathJWKS), RegistrationEndpoint: s.o.RegistrationEndpoint,
			AuthorizationEndpoint: s.url(pathAuthorize), TokenEndpoint: s.url(pathToken),
			IntrospectionEndpoint: s.url(pathIntrospect), RevocationEndpoint: s.url(pathRevoke), PushedEndpoint: s.url(pathPAR),
			AuthMethods: authMethods(), AuthAlgorithms: client.AssertionAlgorithms(), GrantTypes: s.grantTypes(), Scopes: append(s.scopesSupported(), writesSupported(src)...),
			ResponseTypes: []string{"code"}, ChallengeMethods: []string{"S256"}, Capabilities: s.capabilities(src),
		})
	}, writeError))
}

func (s *Server) serveOpenIDConfiguration(w http.ResponseWriter, r *http.Request) error {
	return serveDocument(w, r, openIDConfiguration{
		Issuer: s.o.Issuer, JWKSURI: s.url(pathJWKS), RegistrationEndpoint: s.o.RegistrationEndpoint,
		AuthorizationEndpoint: s.url(pathAuthorize), TokenEndpoint: s.url(pathToken),
		IntrospectionEndpoint: s.url(pathIntrospect), RevocationEndpoint: s.url(pathRevoke), PushedEndpoint: s.url(pathPAR),
		RevocationAuth: authMethods(), RevocationAlgs: client.AssertionAlgorithms(),
		IntrospectionAuth: slices.DeleteFunc(append(authMethods(), "Bearer"), func(m string) bool { return m == "none" }),
		IntrospectionAlgs: client.AssertionAlgorithms(),
		AuthMethods:       authMethods(), AuthAlgorithms: client.AssertionAlgorithms(), GrantTypes: s.grantTypes(), Scopes: s.scopesSupported(),
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query"}, ChallengeMethods: []string{"S256"},
		SubjectTypes: []string{"public"}, SigningAlgorithms: token.Algorithms(),
		Claims:        []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "fhirUser", "profile"},
		IssInResponse: true,
	})
}

// serveDocument answers with what anybody may read and keep for a while. It is
// JSON whatever Accept says (SMART App Launch 2.2, requirement 374).
func serveDocument(w http.ResponseWriter, r *http.Request, document any) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		return &Error{Code: invalidRequest, Description: "This document can be read only.", Status: http.StatusMethodNotAllowed}
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	sendJSON(w, http.StatusOK, document)
	return nil
}
