package layer

// Portico gives the rules of this module. Adding a package means adding it
// here, at the lowest layer that lets it do its work.
func Portico() Rules {
	return Rules{
		Layers:    layers(),
		Peers:     peers(),
		Forbidden: forbidden(),
		MaxLines:  500,
		Long:      long(),
		Together: []Together{{
			Name:  "what decides who sees what",
			Parts: []string{"gateway/guard", "fhir/compartment", "fhir/search/safety.go"},
			Max:   1500,
			Why:   "one reviewer reads these in one sitting; move what is not a decision elsewhere",
		}},
	}
}

// layers is the map of the module from the bottom up.
func layers() []Layer {
	return []Layer{
		{"foundation", []string{"internal/ahead", "internal/clock", "internal/racing", "internal/fault", "internal/reqctx", "internal/handler", "internal/httpfile", "internal/seal", "internal/fetch", "internal/rate", "internal/redisdb", "internal/telemetry", "config", "web"}},
		{"vocabulary", []string{"fhir", "smart/client", "smart/launch"}},
		{"tables and records", []string{"fhir/search", "fhir/subset", "fhir/patch", "fhir/compartment", "fhir/sensitivity", "gateway/audit", "gateway/enroll"}},
		{"scopes", []string{"smart/scope", "fhir/uscore", "fhir/inbound", "fhir/clinical"}},
		{"decisions and connections", []string{"gateway/guard", "gateway/budget", "gateway/cache", "gateway/capability", "gateway/explain", "gateway/locate", "gateway/reach", "gateway/upstream", "gateway/upstream/connect", "gateway/upstream/fhirserver", "gateway/upstream/observe", "gateway/upstream/probe", "gateway/upstream/profiles", "gateway/upstream/quirks", "gateway/upstream/resilience", "smart/token", "smart/apps"}},
		{"the path and the authorization server", []string{"gateway", "gateway/changes", "gateway/verify", "smart/authz"}},
		{"people and storage", []string{"gateway/login", "gateway/pages", "gateway/store"}},
		{"test parts", []string{"internal/demo/**", "internal/services", "**/*test"}},
		{"wiring", []string{"cmd/portico"}},
		{"checks and generators", []string{"fhir/search/internal/tables", "fhir/subset/internal/tables", "fhir/uscore/internal/tables", "internal/layer", "internal/fidelity", "internal/e2e", "internal/tools/**"}},
	}
}

// peers are the imports allowed within one layer.
func peers() []Edge {
	return []Edge{
		{"internal/handler", "internal/fault", "the adaptor writes and logs faults"},
		{"internal/handler", "internal/reqctx", "the adaptor opens the request's event"},
		{"internal/reqctx", "internal/fault", "the event notes a fault's kind"},
		{"internal/telemetry", "internal/reqctx", "what is told of a request is what its event holds"},
		{"gateway/store", "gateway/login", "a store implements the interface stated there"},
		{"gateway/upstream/connect", "gateway/upstream", "what is below a base is decided in one place"},
		{"gateway/capability", "gateway/guard", "it states the interactions that are decided there"},
		{"gateway/capability", "gateway/upstream", "it states no more than the upstream does"},
		{"gateway/explain", "gateway/guard", "it tells what was decided"},
		{"gateway/explain", "gateway/upstream", "it notes what is asked, as an upstream.Reader over another"},
		{"gateway/locate", "gateway/upstream", "what is below a base is decided in one place"},
		{"gateway/cache", "gateway/upstream", "the cache is an upstream.Reader over another"},
		{"gateway/upstream/fhirserver", "gateway/upstream", "a connector implements the interface stated there"},
		{"gateway/upstream/quirks", "gateway/upstream", "it implements the interface stated there, over another that does"},
		{"gateway/upstream/probe", "gateway/upstream", "it asks an EHR through the interface stated there"},
		{"gateway/upstream/probe", "gateway/upstream/profiles", "it proposes one"},
		{"gateway/upstream/probe", "gateway/upstream/quirks", "it tries what it proposes"},
		{"gateway/upstream/quirks", "gateway/upstream/profiles", "it works around what a profile says"},
	}
}

// forbidden are the imports that the order of the layers alone would allow.
func forbidden() []Forbidden {
	const oneReader = "duplicate names must be refused and names compared exactly: read FHIR with package fhir, which uses jsontext"
	return []Forbidden{
		{Who: "fhir/**", What: "net/http", Through: true, Tests: true, Why: "the vocabulary does no I/O"},
		{Who: "fhir/**", What: "smart/**", Through: true, Tests: true, Why: "the vocabulary does not know who is asking"},
		{Who: "fhir/**", What: "gateway/**", Through: true, Tests: true, Why: "the vocabulary does not know what it is used for"},
		{Who: "fhir/**", What: "database/sql", Through: true, Why: "the vocabulary does no I/O"},
		{Who: "smart/**", What: "gateway/**", Through: true, Tests: true, Why: "an authorization server that knows nothing of records cannot leak one; what it needs it states in smart/authz/deps.go"},
		{Who: "smart/**", What: "database/sql", Through: true, Why: "storage is behind the Store interfaces; gateway/store implements them"},
		{Who: "gateway/guard", What: "gateway/**", Through: true, Why: "decisions are pure: everything they depend on is an argument"},
		{Who: "gateway/guard", What: "net/http", Through: true, Why: "decisions are pure: they can be tested without a server"},
		{Who: "gateway/guard", What: "database/sql", Through: true, Why: "decisions are pure"},
		{Who: "gateway", What: "database/sql", Through: true, Why: "the path records through audit.Sink and knows no storage"},
		{Who: "**", Except: []string{"cmd/**", "config"}, What: "config", Tests: true, Why: "only cmd reads the configuration; every constructor has its own Options"},
		{Who: "**", Except: []string{"cmd/**", "internal/demo/**"}, What: "internal/demo/**", Why: "made-up people and a misbehaving EHR must not be reachable from the product"},
		{Who: "internal/demo/**", What: "gateway/**", Through: true, Why: "the demo EHR, provider and app are what Portico is tested against; sharing its code would hide its mistakes"},
		{Who: "internal/demo/**", What: "smart/**", Through: true, Why: "the demo EHR, provider and app are what Portico is tested against; sharing its code would hide its mistakes"},
		{Who: "**", Except: []string{"**/*test"}, What: "**/*test", Why: "suites and stores in memory (and httptest) are for tests"},
		{Who: "**", What: "internal/services", Why: "servers are started by tests only"},
		{Who: "**", What: "cmd/**", Tests: true, Why: "wiring is nobody's library"},
		{Who: "fhir/**", Except: []string{"fhir/search/internal/tables", "fhir/subset/internal/tables", "fhir/uscore/internal/tables"}, What: "encoding/json", Why: oneReader},
		{Who: "gateway/guard", What: "encoding/json", Why: oneReader},
	}
}

// long are the files over the limit.
func long() []Long {
	return []Long{}
}
