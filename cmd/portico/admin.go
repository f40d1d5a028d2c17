package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// operatorAPI is everything on the operator's listener. Each part is mounted by
// the file that knows it; every request needs the credential, whatever the path.
func (w *wiring) operatorAPI(r *registered, data *gateway.Gateway) (http.Handler, error) {
	credential := w.cfg.Admin.Credential.Reveal()
	desk, err := r.desk.Handler(credential)
	if err != nil {
		return nil, err
	}
	routes := mux.NewRouter().SkipClean(true).UseEncodedPath()
	routes.Handle("/metrics", w.telemetry.Metrics()).Methods(http.MethodGet)
	routes.HandleFunc("/readyz", w.readyzJSON).Methods(http.MethodGet)
	w.mountSources(routes)
	(&explainer{data, countedSink{w.store, w.telemetry}, w.clock.Now}).mount(routes)
	routes.Handle("/cache/purge", w.purgeHandler()).Methods(http.MethodPost)
	routes.NotFoundHandler, routes.MethodNotAllowedHandler = desk, desk // it says so in its own words
	routes.PathPrefix("/apps").Handler(desk)
	want := sha256.Sum256([]byte(credential))
	return handler.Adapt(func(out http.ResponseWriter, req *http.Request) error {
		given, _ := handler.Bearer(req)
		got := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			return fault.New(fault.Unauthenticated, "The operator's credential is missing or wrong.")
		}
		routes.ServeHTTP(out, req)
		return nil
	}, writeAdminError), nil
}

// writeAdminError is how the operator's API says what went wrong, as the part
// about apps does.
func writeAdminError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := handler.Status(err), fault.PublicOf(err)
	code := "invalid_request"
	switch kind := fault.KindOf(err); kind {
	case fault.Unauthenticated:
		code = "invalid_token"
	case fault.NotFound:
		code = "not_found"
	case fault.Unavailable, fault.Upstream, fault.UpstreamTimeout:
		code = "temporarily_unavailable"
	case fault.Internal:
		code, text = "server_error", "Something went wrong here; the log has more."
	default:
	}
	writeAdmin(w, r, status, map[string]string{"error": code, "error_description": text})
}

// writeAdmin answers a request of the operator's API.
func writeAdmin(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		reqctx.From(r.Context()).Fail(err)
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
}
