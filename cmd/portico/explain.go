package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

const (
	maxExplainBody = 64 << 10
	explainWait    = 25 * time.Second // less than the operator's client waits
)

// explainBody is a request to be explained, or what a ticket is for.
type explainBody struct {
	Source  string            `json:"source"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Token   string            `json:"token"`
	For     string            `json:"for"` // how long a ticket is good
	By      string            `json:"by"`
}

type ticketAnswer struct {
	Header  string    `json:"header"`
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
}

type explanations struct {
	Explanations []explain.Explanation `json:"explanations"`
}

// explainer serves explain mode on the operator's API.
type explainer struct {
	gateway *gateway.Gateway
	audit   audit.Sink
	now     func() time.Time
}

func (e *explainer) mount(r *mux.Router) {
	add := func(method, path string, f handler.Func) {
		r.Handle(path, handler.Adapt(f, writeAdminError)).Methods(method)
	}
	add(http.MethodPost, "/explain", e.explain)
	add(http.MethodPost, "/explain/ticket", e.ticket)
	add(http.MethodGet, "/explain/{request}", e.pickUp)
}

func readExplain(r *http.Request) (explainBody, error) {
	var body explainBody
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxExplainBody+1))
	if err != nil || len(raw) > maxExplainBody {
		return body, fault.New(fault.TooLarge, "The body is too large or did not arrive.")
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return body, fault.Wrap(errors.New("portico: an explain body cannot be read"), fault.Invalid, "The body must be a JSON object.")
	}
	if body.By == "" {
		body.By = "operator"
	}
	return body, nil
}

// explain runs a request and tells how it was decided. Who wanted it is written
// down before it runs.
func (e *explainer) explain(w http.ResponseWriter, r *http.Request) error {
	body, err := readExplain(r)
	if err != nil {
		return err
	}
	if err := e.record(r.Context(), "explain", body); err != nil {
		return err
	}
	if body.Method == "" {
		body.Method = http.MethodGet
	}
	header := http.Header{}
	for name, value := range body.Headers {
		header.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(r.Context(), explainWait)
	defer cancel()
	got, err := e.gateway.Explain(ctx, gateway.ExplainRequest{
		Source: body.Source, Method: body.Method, Path: body.Path, Header: header, Body: body.Body, Token: body.Token,
	})
	if err != nil {
		return err
	}
	writeAdmin(w, r, http.StatusOK, got)
	return nil
}

// ticket makes a ticket for an app's own requests.
func (e *explainer) ticket(w http.ResponseWriter, r *http.Request) error {
	body, err := readExplain(r)
	if err != nil {
		return err
	}
	life := 10 * time.Minute
	if body.For != "" {
		if life, err = time.ParseDuration(body.For); err != nil {
			return fault.New(fault.Invalid, "for must be a duration such as 10m.")
		}
	}
	sealed, err := e.gateway.Ticket(body.Source, life)
	if err != nil {
		return err
	}
	if err := e.record(r.Context(), "explain-ticket", body); err != nil {
		return err
	}
	writeAdmin(w, r, http.StatusOK, ticketAnswer{gateway.ExplainHeader, sealed, e.now().Add(life).UTC().Truncate(time.Second)})
	return nil
}

// pickUp gives what waits for a request id.
func (e *explainer) pickUp(w http.ResponseWriter, r *http.Request) error {
	got := e.gateway.Explanations(mux.Vars(r)["request"])
	if len(got) == 0 {
		return fault.New(fault.NotFound, "Nothing waits under this request id here: it was not made with a ticket, or longer than 15 minutes ago, or another replica served it.")
	}
	writeAdmin(w, r, http.StatusOK, explanations{got})
	return nil
}

// record writes down which operator asked.
func (e *explainer) record(ctx context.Context, what string, body explainBody) error {
	id, err := randomHex()
	if err == nil {
		err = e.audit.Record(ctx, audit.Event{
			ID: id, Time: e.now(), RequestID: reqctx.ID(ctx), Source: body.Source, PersonIss: "operator", PersonSub: body.By,
			Interaction: what, Outcome: audit.Decided, Status: http.StatusOK,
		})
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "This cannot be recorded, so it is not done.")
	}
	return nil
}
