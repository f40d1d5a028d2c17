package launch_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/smart/launch"
)

func good() launch.Context {
	return launch.Context{
		Patient: "p1", Encounter: "e1", Intent: "reconcile-medications", NeedPatientBanner: true, Tenant: "north", User: "Practitioner/d1",
		StyleURL: "https://ehr.example/style.json",
		FHIRContext: []json.RawMessage{
			json.RawMessage(`{"reference":"ImagingStudy/i1"}`), json.RawMessage(`{"canonical":"http://x/Questionnaire/q|1","type":"Questionnaire","role":"https://ehr.example/roles/questionnaire"}`),
			json.RawMessage(`{"identifier":{"system":"s","value":"v"},"type":"ServiceRequest"}`),
		},
	}
}

// One row per refused member, with what is said of it.
func TestContextsThatAreRefused(t *testing.T) {
	t.Parallel()
	entry := func(text string) func(*launch.Context) {
		return func(c *launch.Context) { c.FHIRContext = []json.RawMessage{json.RawMessage(text)} }
	}
	for name, c := range map[string]struct {
		change func(c *launch.Context)
		says   string
	}{
		"no patient":                {func(c *launch.Context) { c.Patient = "" }, "patient must be"},
		"a reference as patient":    {func(c *launch.Context) { c.Patient = "Patient/p1" }, "patient must be"},
		"a path as patient":         {func(c *launch.Context) { c.Patient = "../p2" }, "patient must be"},
		"a long patient":            {func(c *launch.Context) { c.Patient = strings.Repeat("p", 65) }, "patient must be"},
		"a query as encounter":      {func(c *launch.Context) { c.Encounter = "e?x" }, "encounter must be"},
		"a long intent":             {func(c *launch.Context) { c.Intent = strings.Repeat("x", 256) }, "intent must be"},
		"an intent of two lines":    {func(c *launch.Context) { c.Intent = "a\nb" }, "intent must be"},
		"a tenant that is no text":  {func(c *launch.Context) { c.Tenant = "\xff" }, "tenant must be"},
		"a user without type":       {func(c *launch.Context) { c.User = "d1" }, "user must be"},
		"a user of another type":    {func(c *launch.Context) { c.User = "Device/d1" }, "user must be"},
		"a user somewhere else":     {func(c *launch.Context) { c.User = "https://x/Practitioner/d1" }, "user must be"},
		"a relative style":          {func(c *launch.Context) { c.StyleURL = "/style.json" }, "smart_style_url"},
		"a style in the clear":      {func(c *launch.Context) { c.StyleURL = "http://ehr.example/style.json" }, "smart_style_url must be https"},
		"a style that is a script":  {func(c *launch.Context) { c.StyleURL = "javascript:alert(1)" }, "smart_style_url"},
		"a style with a password":   {func(c *launch.Context) { c.StyleURL = "https://u:p@ehr.example/s" }, "smart_style_url"},
		"too much context":          {func(c *launch.Context) { c.FHIRContext = make([]json.RawMessage, 51) }, "more than 50"},
		"a text as context":         {entry(`"ImagingStudy/i1"`), "must be an object"},
		"null as context":           {entry(`null`), "must be an object"},
		"an empty object":           {entry(`{}`), "needs reference, canonical or identifier"},
		"a role alone":              {entry(`{"role":"launch"}`), "needs reference, canonical or identifier"},
		"a role of our own making":  {entry(`{"reference":"ImagingStudy/i1","role":"comparison"}`), "neither launch nor an absolute URI"},
		"a role that is a path":     {entry(`{"reference":"ImagingStudy/i1","role":"/roles/comparison"}`), "neither launch nor an absolute URI"},
		"a role with a scheme only": {entry(`{"reference":"ImagingStudy/i1","role":"https:"}`), "neither launch nor an absolute URI"},
		"an empty role":             {entry(`{"reference":"ImagingStudy/i1","role":""}`), "empty"},
		"an empty reference":        {entry(`{"reference":""}`), "empty"},
		"a number as reference":     {entry(`{"reference":7}`), "another type"},
		"a Patient":                 {entry(`{"reference":"Patient/p1"}`), "must not be a Patient or an Encounter"},
		"an Encounter":              {entry(`{"reference":"Encounter/e1"}`), "must not be a Patient or an Encounter"},
		"an Encounter by its type":  {entry(`{"identifier":{"value":"v"},"type":"Encounter"}`), "must not be a Patient or an Encounter"},
		"another type than it says": {entry(`{"reference":"ImagingStudy/i1","type":"Observation"}`), "not that of its reference"},
		"an absolute reference":     {entry(`{"reference":"https://x/ImagingStudy/i1"}`), "not Type/id"},
		"a type in small letters":   {entry(`{"reference":"imagingStudy/i1"}`), "not Type/id"},
		"an identifier as text":     {entry(`{"identifier":"v"}`), "no object"},
		"two references":            {entry(`{"reference":"Patient/p2","reference":"ImagingStudy/i1"}`), "does not have"},
		"a name in another case":    {entry(`{"Reference":"ImagingStudy/i1"}`), "does not have"},
		"an unknown member":         {entry(`{"reference":"ImagingStudy/i1","display":"x"}`), "does not have"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := good()
			c.change(&ctx)
			if err := ctx.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	if err := good().Check(); err != nil {
		t.Error(err)
	}
	if err := (launch.Context{Patient: "p"}).Check(); err != nil {
		t.Errorf("a patient alone: %v", err)
	}
	for _, role := range []string{"launch", "urn:oid:1.2.3", "https://ehr.example/roles/comparison"} {
		c := launch.Context{Patient: "p", FHIRContext: []json.RawMessage{json.RawMessage(`{"reference":"ImagingStudy/i1","role":"` + role + `"}`)}}
		if err := c.Check(); err != nil {
			t.Errorf("role %s: %v", role, err)
		}
	}
	local := good()
	local.StyleURL = "http://localhost:8081/s.json"
	if err := local.Check(); err != nil {
		t.Errorf("a style on this machine: %v", err)
	}
}
