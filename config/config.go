// Package config owns the operator's configuration file: its shape, and the
// checks that refuse what cannot work with file, line, column and a sentence
// that says what to do. It holds data only; it must not know what the parts
// that are configured do with it, and nothing but cmd reads it.
package config

import (
	"net/netip"
	"time"
)

// Config is a whole file. The comments of docs/portico.example.yaml are the
// reference for each key. Load has checked everything and set the defaults.
type Config struct {
	PublicURL         string             `yaml:"public_url"` // no trailing slash
	Listen            string             `yaml:"listen"`
	TLS               *TLS               `yaml:"tls"` // nil: plain HTTP
	InsecurePlainHTTP bool               `yaml:"insecure_plain_http"`
	TrustedProxies    []netip.Prefix     `yaml:"trusted_proxies"`
	Store             Store              `yaml:"store"`
	Redis             *Redis             `yaml:"redis"`            // nil: replicas share the store alone
	Cache             *Cache             `yaml:"cache"`            // nil: nothing is kept of what EHRs answer
	SealKey           Secret             `yaml:"seal_key"`         // base64 of 32 bytes; see SealKeyBytes
	SealKeysBefore    []Secret           `yaml:"seal_keys_before"` // open what was sealed before a rotation; see OlderSealKeys
	Sessions          Sessions           `yaml:"sessions"`
	Tokens            Tokens             `yaml:"tokens"`
	IdentityProviders []IdentityProvider `yaml:"identity_providers"`
	Sources           []Source           `yaml:"sources"`
	ProfileFiles      []string           `yaml:"profile_files"` // absolute or relative to the configuration file; Load makes them usable
	Profiles          map[string][]byte  // what stands in them, by path
	Clients           []Client           `yaml:"clients"`
	Registration      Registration       `yaml:"registration"`
	Admin             *Admin             `yaml:"admin"` // nil: no operator's API
	Outside           Outside            `yaml:"outside"`
	Telemetry         Telemetry          `yaml:"telemetry"`
	Limits            Limits             `yaml:"limits"`
	Log               Log                `yaml:"log"`
}

// Limits keep Portico, and what is behind it, from being overrun.
type Limits struct {
	Concurrent int    `yaml:"concurrent"` // requests at once
	PerApp     Budget `yaml:"per_app"`
	PerPatient Budget `yaml:"per_patient"`
}

// Budget is so many requests a second in the long run, and so many at once; zero:
// any number.
type Budget struct {
	PerSecond int `yaml:"per_second"`
	Burst     int `yaml:"burst"`
}

// TLS names the certificate of Portico's own listener.
type TLS struct {
	CertFile   string `yaml:"cert_file"` // absolute or relative to the configuration file; Load makes it usable
	KeyFile    string `yaml:"key_file"`
	MinVersion string `yaml:"min_version"` // "1.2" or "1.3"
}

// Store says where durable state is kept: in one of the two.
type Store struct {
	SQLite   string    `yaml:"sqlite"` // file
	Postgres *Postgres `yaml:"postgres"`
}

// Postgres is a database of a PostgreSQL server.
type Postgres struct {
	URL            Secret `yaml:"url"`             // postgres://user:password@host:port/database?sslmode=verify-full
	MaxConnections int    `yaml:"max_connections"` // of each replica
}

// Sessions bounds browser sessions.
type Sessions struct {
	Idle     time.Duration `yaml:"idle"`
	Absolute time.Duration `yaml:"absolute"`
}

// Tokens bounds what apps get.
type Tokens struct {
	AccessLifetime  time.Duration `yaml:"access_lifetime"`
	RefreshLifetime time.Duration `yaml:"refresh_lifetime"`
	GrantLifetime   time.Duration `yaml:"grant_lifetime"` // 0: until the person ends it
}

// IdentityProvider is an OpenID provider at which people sign in.
type IdentityProvider struct {
	ID                string   `yaml:"id"`
	Name              string   `yaml:"name"`
	Issuer            string   `yaml:"issuer"` // compared exactly, a trailing slash included
	ClientID          string   `yaml:"client_id"`
	ClientSecret      Secret   `yaml:"client_secret"` // zero: a public client
	Scopes            []string `yaml:"scopes"`
	InsecurePlainHTTP bool     `yaml:"insecure_plain_http"`
}

// Source is one EHR and the FHIR base that Portico offers for it.
type Source struct {
	ID                string        `yaml:"id"`
	Name              string        `yaml:"name"`
	FHIRBase          string        `yaml:"fhir_base"` // no trailing slash
	IdentityProvider  string        `yaml:"identity_provider"`
	IdentityProviders []string      `yaml:"identity_providers"` // in place of IdentityProvider; see Providers
	SignIn            Assurance     `yaml:"sign_in"`
	StepUp            []StepUp      `yaml:"step_up"`
	EHRLaunch         EHRLaunch     `yaml:"ehr_launch"`
	Auth              Auth          `yaml:"auth"`
	TLS               SourceTLS     `yaml:"tls"`
	Headers           []Header      `yaml:"headers"`
	PatientFrom       PatientFrom   `yaml:"patient_from"`
	Timeout           time.Duration `yaml:"timeout"`
	MaxPageSize       int           `yaml:"max_page_size"`
	Profile           string        `yaml:"profile"` // empty: a FHIR R4 server without quirks
	InsecurePlainHTTP bool          `yaml:"insecure_plain_http"`
	Limits            SourceLimits  `yaml:"limits"`
	Attachments       []Attachments `yaml:"attachments"`
	Write             []Write       `yaml:"write"` // what apps may do there besides reading; default: nothing
	Sensitivity       []Sensitivity `yaml:"sensitivity"`
	Cache             SourceCache   `yaml:"cache"`
	Notify            Notify        `yaml:"notify"`
}

// Attachments is a place outside FHIRBase where attachments lie.
type Attachments struct {
	URL         string `yaml:"url"`         // no trailing slash
	Credentials bool   `yaml:"credentials"` // whether the EHR's credentials go there too
}

// SourceLimits keep a source's EHR, and Portico, from being overrun.
type SourceLimits struct {
	Concurrent int           `yaml:"concurrent"`         // requests at once
	PerApp     int           `yaml:"concurrent_per_app"` // of them for one app
	PerSecond  int           `yaml:"per_second"`         // 0: any number
	Burst      int           `yaml:"burst"`              // of those at once
	Wait       time.Duration `yaml:"wait"`               // for a free place
	Attempts   int           `yaml:"attempts"`           // of a read, the first included
	HedgeAfter time.Duration `yaml:"hedge_after"`        // 0: never
	Total      time.Duration `yaml:"total"`              // of one answer
	OpenFor    time.Duration `yaml:"open_for"`           // of the breaker
}

// Assurance says how sure a sign-in must be: its acr is one of ACR or its amr
// has one of AMR. Empty: any.
type Assurance struct {
	ACR []string `yaml:"acr"`
	AMR []string `yaml:"amr"`
}

// StepUp is an Assurance for some scopes.
type StepUp struct {
	Scopes []string `yaml:"scopes"`
	ACR    []string `yaml:"acr"`
	AMR    []string `yaml:"amr"`
}

// EHRLaunch lets the EHR launch apps.
type EHRLaunch struct {
	Token Secret `yaml:"token"` // the EHR's credential; zero: it cannot
	Style Style  `yaml:"style"` // what apps find at smart_style_url
}

// Style is how apps should look beside the EHR (SMART App Launch 2.2, "Styling
// support"). Its keys are those of the document.
type Style struct {
	ColorBackground    string `yaml:"color_background" json:"color_background,omitempty"`
	ColorError         string `yaml:"color_error" json:"color_error,omitempty"`
	ColorHighlight     string `yaml:"color_highlight" json:"color_highlight,omitempty"`
	ColorModalBackdrop string `yaml:"color_modal_backdrop" json:"color_modal_backdrop,omitempty"`
	ColorSuccess       string `yaml:"color_success" json:"color_success,omitempty"`
	ColorText          string `yaml:"color_text" json:"color_text,omitempty"`
	DimBorderRadius    string `yaml:"dim_border_radius" json:"dim_border_radius,omitempty"`
	DimFontSize        string `yaml:"dim_font_size" json:"dim_font_size,omitempty"`
	DimSpacingSize     string `yaml:"dim_spacing_size" json:"dim_spacing_size,omitempty"`
	FontFamilyBody     string `yaml:"font_family_body" json:"font_family_body,omitempty"`
	FontFamilyHeading  string `yaml:"font_family_heading" json:"font_family_heading,omitempty"`
}

// Providers gives the ids of the identity providers of a source.
func (s Source) Providers() []string {
	if len(s.IdentityProviders) > 0 {
		return s.IdentityProviders
	}
	return []string{s.IdentityProvider}
}

// The ways to authenticate to an EHR.
const (
	AuthNone   = "none"
	AuthBasic  = "basic"
	AuthBearer = "bearer"
	AuthClient = "client_credentials"
)

// KeyJWT is the value of Auth.Key.
const KeyJWT = "jwt"

// Auth is how Portico authenticates to an EHR.
type Auth struct {
	Type     string `yaml:"type"`
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	Token    Secret `yaml:"token"`

	TokenURL     string   `yaml:"token_url"` // empty: discovered
	ClientID     string   `yaml:"client_id"`
	ClientSecret Secret   `yaml:"client_secret"`
	SecretIn     string   `yaml:"secret_in"` // header or body
	Key          string   `yaml:"key"`       // KeyJWT: sign assertions in place of a secret
	KeyFile      string   `yaml:"key_file"`  // empty: Portico's own; Load makes it usable
	Alg          string   `yaml:"alg"`       // of Portico's own key
	Scopes       []string `yaml:"scopes"`
}

// SourceTLS is how a source's connections are secured beyond the usual.
type SourceTLS struct {
	CAFile   string `yaml:"ca_file"` // in place of the system's authorities
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// What the claim that names a patient holds.
const (
	AsReference  = "reference"
	AsID         = "id"
	AsIdentifier = "identifier"
)

// PatientFrom says how the provider's claims name the patient at a source.
type PatientFrom struct {
	Claim  string `yaml:"claim"`
	As     string `yaml:"as"`
	System string `yaml:"system"` // of an identifier
}

// The types of client of RFC 6749 §2.1.
const (
	ClientPublic       = "public"
	ClientConfidential = "confidential"
)

// Client is a registered app.
type Client struct {
	ID              string   `yaml:"id"`
	Name            string   `yaml:"name"`
	Owner           string   `yaml:"owner"`
	URL             string   `yaml:"url"`
	Type            string   `yaml:"type"`
	Secret          Secret   `yaml:"secret"`
	JWKSFile        string   `yaml:"jwks_file"` // absolute or relative to the configuration file; Load makes it usable
	JWKSURI         string   `yaml:"jwks_uri"`
	Introspects     bool     `yaml:"introspects"`
	IDTokenAlg      string   `yaml:"id_token_signed_response_alg"` // empty: RS256
	RedirectURIs    []string `yaml:"redirect_uris"`
	AnyLoopbackPort bool     `yaml:"any_loopback_port"`
	Scopes          []string `yaml:"scopes"`  // empty: anything a patient app may have
	Sources         []string `yaml:"sources"` // empty: all

	Logo           string        `yaml:"logo"`
	Contacts       []string      `yaml:"contacts"`
	Terms          string        `yaml:"terms"`
	Policy         string        `yaml:"policy"`
	LaunchURIs     []string      `yaml:"launch_uris"`
	AccessLifetime time.Duration `yaml:"access_lifetime"` // 0: as tokens says
	GrantLifetime  time.Duration `yaml:"grant_lifetime"`
}

// Log says how the operational log is written.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// defaults is what stands where the file says nothing.
func defaults() Config {
	return Config{
		Listen:    "127.0.0.1:8080",
		Sessions:  Sessions{Idle: 30 * time.Minute, Absolute: 8 * time.Hour},
		Tokens:    Tokens{AccessLifetime: 15 * time.Minute, RefreshLifetime: 92 * day},
		Telemetry: Telemetry{TracesPercent: 100},
		Log:       Log{Level: "info", Format: "text"},
	}
}

// fillIn sets the defaults inside lists and optional sections.
func (c *Config) fillIn() {
	c.fillInApps()
	c.Limits.fillIn()
	if p := c.Store.Postgres; p != nil && p.MaxConnections == 0 {
		p.MaxConnections = 16
	}
	c.fillInCache()
	if c.TLS != nil && c.TLS.MinVersion == "" {
		c.TLS.MinVersion = "1.2"
	}
	for i := range c.IdentityProviders {
		p := &c.IdentityProviders[i]
		if p.Name == "" {
			p.Name = p.ID
		}
		if p.Scopes == nil {
			p.Scopes = []string{"openid", "profile"}
		}
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if s.Timeout == 0 {
			s.Timeout = 30 * time.Second
		}
		if s.MaxPageSize == 0 {
			s.MaxPageSize = 100
		}
		s.Limits.fillIn()
		for j := range s.Sensitivity {
			if s.Sensitivity[j].Action == "" {
				s.Sensitivity[j].Action = ActionWithhold
			}
		}
		if s.Auth.Type == "" {
			s.Auth.Type = AuthNone
		}
		if s.Auth.Type == AuthClient {
			s.Auth.fillIn()
		}
		if s.PatientFrom.Claim == "" {
			s.PatientFrom.Claim = "fhirUser"
		}
		if s.PatientFrom.As == "" {
			switch s.PatientFrom.Claim {
			case "fhirUser":
				s.PatientFrom.As = AsReference
			default:
				s.PatientFrom.As = AsID
			}
		}
	}
}
