package ehr

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// problem is an error with what the caller is told: a status, an issue code
// (R4 value set issue-type) and a sentence.
type problem struct {
	status int
	code   string
	text   string
	allow  string // Allow header, for 405
}

func (p *problem) Error() string { return p.text }

func refuse(status int, code, format string, args ...any) error {
	return &problem{status: status, code: code, text: fmt.Sprintf(format, args...)}
}

func notFound() error {
	return refuse(http.StatusNotFound, "not-found", "there is no such resource")
}

func notAllowed(allow string) error {
	return &problem{http.StatusMethodNotAllowed, "not-supported", "this interaction is not supported here", allow}
}

type issue struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics,omitempty"`
}

type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// outcome writes an OperationOutcome with one issue.
func outcome(severity, code, text string) []byte {
	return encode(operationOutcome{"OperationOutcome", []issue{{severity, code, text}}})
}

// failed turns any error into the answer that reports it.
func failed(err error) answer {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{status: http.StatusInternalServerError, code: "exception", text: "the server failed"}
	}
	a := answer{status: p.status, header: http.Header{}, resource: outcome("error", p.code, p.text), authored: true}
	if p.allow != "" {
		a.header.Set("Allow", p.allow)
	}
	if p.status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", `Bearer realm="ehr", Basic realm="ehr"`)
	}
	return a
}

// encode writes what the server itself authored; such values always encode.
func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("ehr: %T does not encode: %v", v, err)) // a defect, not a condition
	}
	return out
}
