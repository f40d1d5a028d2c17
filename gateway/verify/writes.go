package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
)

// This file holds the families that try to change something. Each attempt is
// looked after at the EHR itself, whatever the gateway answers, and what it did
// is undone.

const (
	patchJSON = "application/json-patch+json"
)

// attempt is one try to change something. at is the resource that would show it,
// as Type/id; "" when the attempt would make a new one.
type attempt struct {
	family int
	at     string
	request
}

// original is a resource as the EHR has it before anything was tried.
type original struct {
	typ, id, version string
	raw              []byte
}

func writeTitles() []Family {
	return []Family{
		{Number: 3, Title: "patching others"}, {Number: 15, Title: "conditional changes"},
		{Number: 28, Title: "writing into another record"}, {Number: 29, Title: "moving between records"},
	}
}

// writes tries to change the other patient's record and to write things into it.
func (a *attack) writes(ctx context.Context) ([]Family, error) {
	done := writeTitles()
	for _, typ := range a.victim.types() {
		for _, id := range a.victim.some(typ, a.o.PerType) {
			theirs, err := a.original(ctx, typ, id)
			if err != nil {
				return nil, err
			}
			attempts := a.against(theirs)
			for _, own := range a.own.some(typ, 1) {
				mine, err := a.original(ctx, typ, own)
				if err != nil {
					return nil, err
				}
				attempts = append(attempts, a.away(mine)...)
			}
			for _, one := range attempts {
				finding, err := a.attempt(ctx, one)
				if err != nil {
					return nil, err
				}
				for i := range done {
					if done[i].Number != one.family {
						continue
					}
					done[i].Requests++
					if finding != nil {
						done[i].Findings = append(done[i].Findings, *finding)
					}
				}
			}
		}
	}
	return done, nil
}

// against makes the attempts at one of the other patient's resources.
func (a *attack) against(t original) []attempt {
	at := t.typ + "/" + t.id
	match := http.Header{"Content-Type": {fhir.JSON}, "If-Match": {`W/"` + t.version + `"`}}
	patch := http.Header{"Content-Type": {patchJSON}, "If-Match": {`W/"` + t.version + `"`}}
	const language = `[{"op":"add","path":"/language","value":"x-portico-verify"}]`
	mine := string(bytes.ReplaceAll(t.raw, []byte("Patient/"+a.o.Not), []byte("Patient/"+a.o.As)))
	changed := `{"language":"x-portico-verify",` + strings.TrimPrefix(strings.TrimSpace(string(t.raw)), "{")
	query := "?_id=" + t.id
	create := func(body string, header ...string) request {
		h := http.Header{"Content-Type": {fhir.JSON}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return request{method: http.MethodPost, target: "/" + t.typ, body: body, header: h}
	}
	out := []attempt{
		{3, at, request{method: http.MethodPatch, target: "/" + at, body: language, header: patch}},
		{3, at, request{method: http.MethodPatch, target: "/" + at, body: `[{"op":"add","path":"/subject","value":{"reference":"Patient/` + a.o.As + `"}}]`, header: patch}},
		{3, at, request{method: http.MethodPatch, target: "/" + t.typ + query, body: language, header: patch}},
		{15, at, request{method: http.MethodPut, target: "/" + t.typ + query, body: changed, header: match}},
		{15, at, request{method: http.MethodDelete, target: "/" + t.typ + query}},
		{15, at, request{method: http.MethodDelete, target: "/" + t.typ + "?patient=" + a.o.Not + "&_id=" + t.id}},
		{15, "", create(string(t.raw), "If-None-Exist", "_id="+t.id, "Prefer", "return=representation")},
		{15, "", create(string(t.raw), "If-None-Exist", "patient="+a.o.Not, "Prefer", "return=representation")},
		{28, "", create(string(t.raw))},
		{28, "", create(strings.ReplaceAll(string(t.raw), `"Patient/`+a.o.Not, `"`+a.o.Base+`/Patient/`+a.o.Not))},
		{29, at, request{method: http.MethodPut, target: "/" + at, body: mine, header: match}},
		{29, at, request{method: http.MethodPut, target: "/" + at, body: changed, header: match}},
		{29, at, request{method: http.MethodDelete, target: "/" + at, header: match}},
		{29, at, request{method: http.MethodPost, target: "/", header: http.Header{"Content-Type": {fhir.JSON}}, body: `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"DELETE","url":"` + at + `","ifMatch":"W/\"` + t.version + `\""}}]}`}},
	}
	for _, id := range a.victim.identifiers[:min(1, len(a.victim.identifiers))] {
		out = append(out, attempt{15, "", create(string(t.raw), "If-None-Exist", "identifier="+url.QueryEscape(id.system+"|"+id.value), "Prefer", "return=representation")})
	}
	return out
}

// away makes the attempts to give an own resource to the other patient.
func (a *attack) away(own original) []attempt {
	at := own.typ + "/" + own.id
	if own.typ == "Patient" {
		return nil
	}
	theirs := strings.ReplaceAll(string(own.raw), "Patient/"+a.o.As, "Patient/"+a.o.Not)
	header := http.Header{"Content-Type": {fhir.JSON}, "If-Match": {`W/"` + own.version + `"`}}
	patch := http.Header{"Content-Type": {patchJSON}, "If-Match": {`W/"` + own.version + `"`}}
	return []attempt{
		{29, at, request{method: http.MethodPut, target: "/" + at, body: theirs, header: header}},
		{29, at, request{method: http.MethodPatch, target: "/" + at, body: `[{"op":"add","path":"/subject","value":{"reference":"Patient/` + a.o.Not + `"}}]`, header: patch}},
		{28, "", request{method: http.MethodPost, target: "/" + own.typ, body: theirs, header: http.Header{"Content-Type": {fhir.JSON}}}},
	}
}

// attempt tries, looks after it at the EHR, and undoes what was done.
func (a *attack) attempt(ctx context.Context, t attempt) (*Finding, error) {
	typ, id, named := strings.Cut(t.at, "/")
	var before original
	if named {
		var err error
		if before, err = a.original(ctx, typ, id); err != nil {
			return nil, err
		}
		if t.header.Get("If-Match") != "" { // what was put back has a new version
			t.header.Set("If-Match", `W/"`+before.version+`"`)
		}
	}
	r, err := a.send(ctx, t.request)
	if err != nil {
		return nil, err
	}
	what := a.found(t.request, r)
	if named {
		changed, err := a.restore(ctx, before)
		if err != nil {
			return nil, err
		}
		if changed {
			what = "that a resource was changed which is not the app's to change so"
		}
	}
	made, err := a.unmake(ctx, r)
	if err != nil {
		return nil, err
	}
	if made {
		what = "that a resource was taken which names the other patient"
	}
	if what == "" {
		return nil, nil //nolint:nilnil // it held
	}
	return &Finding{Method: t.method, Target: t.target, Body: t.body, Status: r.status, What: what}, nil
}

// original reads a resource from the EHR itself.
func (a *attack) original(ctx context.Context, typ, id string) (original, error) {
	o := original{typ: typ, id: id}
	answer, err := a.o.EHR.Read(ctx, typ, id)
	if err != nil {
		return o, fmt.Errorf("verify: reading what is to be attacked: %w", err)
	}
	o.raw, err = io.ReadAll(io.LimitReader(answer.Body, maxEntry))
	_ = answer.Body.Close()
	if err != nil {
		return o, fmt.Errorf("verify: reading what is to be attacked: %w", err)
	}
	r, err := fhir.ParseResource(o.raw)
	if err != nil {
		return o, fmt.Errorf("verify: reading what is to be attacked: %w", err)
	}
	o.version = r.VersionID()
	return o, nil
}

// restore puts a resource back if it has changed. It fails loudly: the operator
// must know what was left behind.
func (a *attack) restore(ctx context.Context, was original) (changed bool, err error) {
	now, err := a.original(ctx, was.typ, was.id)
	gone := err != nil && fault.KindOf(errors.Unwrap(err)) == fault.NotFound
	switch {
	case err != nil && !gone:
		return false, err
	case !gone && bytes.Equal(now.raw, was.raw):
		return false, nil
	}
	ifMatch := ""
	if !gone && now.version != "" {
		ifMatch = `W/"` + now.version + `"`
	}
	if _, err := a.o.Undo.Update(ctx, was.typ, was.id, was.raw, ifMatch); err != nil {
		return true, fmt.Errorf("verify: %s/%s was changed and could not be put back: %w", was.typ, was.id, err)
	}
	return true, nil
}

// unmake deletes what an answer says was created, alone or in a batch.
func (a *attack) unmake(ctx context.Context, r reply) (made bool, err error) {
	if r.status != http.StatusCreated {
		return false, nil
	}
	_, path, found := strings.Cut(r.header.Get("Location"), "/fhir/")
	parts := strings.Split(path, "/")
	for i := 0; found && i+1 < len(parts); i++ {
		typ, id := parts[i], parts[i+1]
		if len(a.victim.ids[typ]) == 0 && len(a.own.ids[typ]) == 0 || !fhir.ValidID(id) {
			continue
		}
		if _, err := a.o.Undo.Delete(ctx, typ, id, ""); err != nil {
			return true, fmt.Errorf("verify: %s/%s was created and could not be deleted: %w", typ, id, err)
		}
		return true, nil
	}
	return true, errors.New("verify: something was created that cannot be found again to delete it")
}
