package verify

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"time"
)

// Text writes the report for a terminal. It names no ids and no content: what
// was tried is in the JSON and HTML forms, which are for the operator's eyes.
func (r *Report) Text(w io.Writer) error {
	for _, f := range r.Families {
		verdict := "held"
		if n := len(f.Findings); n > 0 {
			verdict = fmt.Sprintf("FAILED %d times: %s", n, f.Findings[0].What)
		}
		if _, err := fmt.Fprintf(w, "%3d  %-34s %5d requests  %s\n", f.Number, f.Title, f.Requests, verdict); err != nil {
			return err
		}
	}
	verdict := "Nothing of the other patient was seen."
	if r.Failed() {
		verdict = "SOMETHING OF THE OTHER PATIENT WAS SEEN."
	}
	_, err := fmt.Fprintf(w, "\n%s %d requests in %s, looking for %d things.\n", verdict, r.Requests(), r.Took.Round(time.Millisecond), r.Known)
	return err
}

// JSON writes the whole report, the reproducing requests included.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// HTML writes the whole report as a page that stands alone.
func (r *Report) HTML(w io.Writer) error { return page.Execute(w, r) }

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Portico verify: {{if .Failed}}failed{{else}}held{{end}}</title>
<style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #8886;vertical-align:top}
.held{color:#0a6b3d}.failed{color:#b3261e;font-weight:600}@media(prefers-color-scheme:dark){.held{color:#7ddba9}.failed{color:#ff9b93}}
code{font-size:.85em;overflow-wrap:anywhere}
</style></head><body><main>
<h1>{{if .Failed}}<span class="failed">Something of the other patient was seen</span>{{else}}<span class="held">Nothing of the other patient was seen</span>{{end}}</h1>
<p>{{.Requests}} requests as Patient/{{.As}}, looking for {{.Known}} things of Patient/{{.Not}}. Begun {{.Began.Format "2 January 2006 15:04 MST"}}, took {{.Took}}.</p>
<p>This page names patients: keep it where the record is kept.</p>
<table><thead><tr><th scope="col">#</th><th scope="col">Family</th><th scope="col">Requests</th><th scope="col">Result</th></tr></thead><tbody>
{{range .Families}}<tr><td>{{.Number}}</td><td>{{.Title}}</td><td>{{.Requests}}</td><td>{{if .Findings}}<span class="failed">failed {{len .Findings}} times</span>
<ul>{{range .Findings}}<li><code>{{.Method}} {{.Target}}</code>{{if .Body}} with <code>{{.Body}}</code>{{end}}: status {{.Status}}, {{.What}}</li>{{end}}</ul>{{else}}<span class="held">held</span>{{end}}</td></tr>
{{end}}</tbody></table></main></body></html>
`))
