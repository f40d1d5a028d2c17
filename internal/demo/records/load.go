package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// LoadDir reads every *.ndjson file of a folder, one resource per line, and
// hands the bytes as they are to emit, which may keep them. Other files are
// ignored. The people of the cast are the patients, who sign in with their id,
// and the people related to one; nothing is checked about what the resources
// refer to. An error names file and line and never what stands there.
func LoadDir(dir string, emit func(raw []byte) error) (*Cast, error) {
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.ndjson"))
	if err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("records: no *.ndjson file in %s", dir)
	}
	l := loader{emit: emit, taken: map[string]bool{}}
	for _, name := range names { // Glob sorts
		if err := l.file(name); err != nil {
			return nil, err
		}
	}
	return l.people(), nil
}

// escapeGlob keeps a folder's own name from being read as a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(dir)
}

type loader struct {
	emit     func([]byte) error
	patients []*fhir.Resource
	related  []*fhir.Resource
	doctor   *fhir.Resource // the first Practitioner
	taken    map[string]bool
}

func (l *loader) file(name string) error {
	f, err := os.Open(name) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	in := bufio.NewReaderSize(f, 1<<20)
	for line := 1; ; line++ {
		raw, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("records: %s:%d: %w", name, line, err)
		}
		if text := bytes.TrimSpace(raw); len(text) > 0 {
			if problem := l.line(text); problem != nil {
				return fmt.Errorf("records: %s:%d: %w", name, line, problem)
			}
		}
		if err != nil {
			return nil
		}
	}
}

func (l *loader) line(raw []byte) error {
	r, err := fhir.ParseResource(raw)
	if err != nil {
		return err
	}
	if r.ID() == "" {
		return errors.New("the resource has no id")
	}
	switch r.Type() {
	case "Patient":
		l.patients = append(l.patients, r)
	case "Practitioner":
		if l.doctor == nil {
			l.doctor = r
		}
	case "RelatedPerson":
		l.related = append(l.related, r)
	}
	return l.emit(raw)
}

func (l *loader) people() *Cast {
	c := &Cast{}
	known := map[string]string{}
	for _, r := range l.patients {
		name := nameOf(r)
		known["Patient/"+r.ID()] = name
		c.People = append(c.People, Person{
			Login: l.login(r.ID()), Password: password, Name: name, Email: r.ID() + "@example.org",
			Story: "A patient of the loaded records.", FHIRUser: []string{"Patient/" + r.ID()},
		})
	}
	for _, r := range l.related {
		patient, loaded := known[r.Root().Get("patient").Get("reference").Text()]
		if !loaded || r.Root().Get("active").Text() == "false" {
			continue // stands for nobody's record here
		}
		c.People = append(c.People, Person{
			Login: l.login(r.ID()), Password: password, Name: nameOf(r), Email: r.ID() + "@example.org",
			Story: "Acts for " + patient + ".", FHIRUser: []string{"RelatedPerson/" + r.ID()},
		})
	}
	if r := l.doctor; r != nil {
		c.Clinicians = []Person{{
			Login: l.login("doctor"), Password: password, Name: nameOf(r), Email: "doctor@example.org",
			Story: "Opens apps from the EHR for a patient.", FHIRUser: []string{"Practitioner/" + r.ID()},
		}}
	}
	nobody := stranger()
	nobody.Login = l.login(nobody.Login)
	c.People = append(c.People, nobody)
	return c
}

// login makes a name to sign in with that nobody else has.
func (l *loader) login(id string) string {
	name := id
	for n := 2; l.taken[name]; n++ {
		name = fmt.Sprintf("%s-%d", id, n)
	}
	l.taken[name] = true
	return name
}

// nameOf gives the name a person goes by, or the id when there is none. A name
// that has ended is for want of another.
func nameOf(r *fhir.Resource) string {
	var best fhir.Node
	over := func(n fhir.Node) bool { return n.Get("use").Text() == "old" || n.Get("period").Get("end").Exists() }
	for n := range r.Root().Get("name").Items() {
		switch {
		case !best.Exists(), over(best) && !over(n):
			best = n
		case n.Get("use").Text() == "official" && over(n) == over(best):
			best = n
		}
	}
	if text := best.Get("text").Text(); text != "" {
		return text
	}
	var parts []string
	for g := range best.Get("given").Items() {
		parts = append(parts, g.Text())
	}
	if family := best.Get("family").Text(); family != "" {
		parts = append(parts, family)
	}
	if len(parts) == 0 {
		return r.ID()
	}
	return strings.Join(parts, " ")
}
