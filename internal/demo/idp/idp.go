package idp

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// New makes the provider.
func New(o Options) (http.Handler, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Name == "" {
		o.Name = "Harborview Health"
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	store, err := newStorage(o)
	if err != nil {
		return nil, err
	}
	config := &op.Config{
		CodeMethodS256:           true,
		AuthMethodPost:           true,
		DefaultLogoutRedirectURI: "/signed-out",
		SupportedScopes:          []string{"openid", "profile", "email", "fhirUser"},
		SupportedClaims:          []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "amr", "at_hash", "azp", "name", "preferred_username", "email", "email_verified", "fhirUser"},
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, fmt.Errorf("idp: key: %w", err)
	}
	// Plain http is fine here: check has seen that the issuer is loopback.
	provider, err := op.NewProvider(config, store, op.StaticIssuer(o.Issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	s := &site{o: o, store: store, provider: provider, csrf: http.NewCrossOriginProtection()}
	return s.routes(), nil
}

// site is the library behind the provider's own pages.
type site struct {
	o        Options
	store    *storage
	provider *op.Provider
	csrf     *http.CrossOriginProtection
}

// routes lists every URL. Endpoints of the library that are not listed
// (introspection, revocation, device flow) do not exist.
func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /login", s.showLogin)
	mux.Handle("POST /login", s.csrf.Handler(http.HandlerFunc(s.takeLogin)))
	mux.HandleFunc("GET /signed-out", s.signedOut)
	mux.HandleFunc("GET /static/idp.css", stylesheet)
	mux.HandleFunc("GET "+oidc.DiscoveryEndpoint, s.discovery)
	mux.HandleFunc("/authorize", s.authorize)
	mux.HandleFunc("GET /authorize/callback", s.callback)
	for _, endpoint := range []string{"POST /oauth/token", "/userinfo", "GET /keys", "/end_session"} {
		mux.Handle(endpoint, s.provider)
	}
	mux.HandleFunc("/", s.nothing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// discovery is the library's document without what is not there: it lists the
// implicit and JWT bearer grants of its own accord.
func (s *site) discovery(w http.ResponseWriter, r *http.Request) {
	doc := op.CreateDiscoveryConfig(op.ContextWithIssuer(r.Context(), s.o.Issuer), s.provider, s.store)
	doc.GrantTypesSupported = []oidc.GrantType{oidc.GrantTypeCode}
	doc.ResponseTypesSupported = []string{string(oidc.ResponseTypeCode)}
	doc.TokenEndpointAuthMethodsSupported = []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost}
	doc.TokenEndpointAuthSigningAlgValuesSupported = nil
	doc.IntrospectionEndpoint, doc.RevocationEndpoint, doc.DeviceAuthorizationEndpoint, doc.CheckSessionIframe = "", "", "", ""
	doc.IntrospectionEndpointAuthMethodsSupported, doc.IntrospectionEndpointAuthSigningAlgValuesSupported = nil, nil
	doc.RevocationEndpointAuthMethodsSupported, doc.RevocationEndpointAuthSigningAlgValuesSupported = nil, nil
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_ = json.NewEncoder(w).Encode(doc) // the client is gone if this fails
}

// authorize answers what must not be sent to a redirect URI with a page, and
// leaves everything else to the library.
func (s *site) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.problem(w, http.StatusBadRequest, "The request to sign in cannot be read.")
		return
	}
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method"} {
		if len(r.Form[name]) > 1 { // RFC 6749 3.1
			s.problem(w, http.StatusBadRequest, "The parameter "+name+" is there more than once.")
			return
		}
	}
	c, known := s.store.clients[r.Form.Get("client_id")]
	switch {
	case !known:
		s.problem(w, http.StatusBadRequest, "The application that sent you here is not registered (client_id).")
	case !slices.Contains(c.Client.RedirectURIs, r.Form.Get("redirect_uri")):
		s.problem(w, http.StatusBadRequest, "The application asks to send you to an address that is not registered for it (redirect_uri).")
	case r.Form.Get("response_type") != string(oidc.ResponseTypeCode):
		s.answer(w, r, "unsupported_response_type", "this provider gives codes: response_type=code")
	default:
		s.provider.ServeHTTP(w, r)
	}
}

// answer tells a client, whose redirect URI has been checked, of an error
// (RFC 6749 4.1.2.1).
func (s *site) answer(w http.ResponseWriter, r *http.Request, code, description string) {
	target, err := url.Parse(r.Form.Get("redirect_uri"))
	if err != nil {
		s.problem(w, http.StatusBadRequest, "The address of the application cannot be read.")
		return
	}
	q := target.Query()
	q.Set("error", code)
	q.Set("error_description", description)
	if state := r.Form.Get("state"); state != "" {
		q.Set("state", state)
	}
	target.RawQuery = q.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound) //nolint:gosec // G710: authorize has compared it with the registered ones
}

// callback is where the sign-in page sends the browser.
func (s *site) callback(w http.ResponseWriter, r *http.Request) {
	request, err := s.store.request(r.URL.Query().Get("id"))
	if err != nil || request.code || !request.Done() {
		s.problem(w, http.StatusBadRequest, "This sign-in was finished already, or took too long. Please go back to the application and start again.")
		return
	}
	s.provider.ServeHTTP(w, r)
}
