package records_test

import (
	"bytes"
	"crypto/sha1" // FHIR Attachment.hash is SHA-1 by definition
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/records"
)

// text gives the one string at a path, "" when there is none.
func text(r *fhir.Resource, path ...string) string {
	for n := range r.Root().At(path...) {
		return n.Text()
	}
	return ""
}

func texts(r *fhir.Resource, path ...string) []string {
	var out []string
	for n := range r.Root().At(path...) {
		out = append(out, n.Text())
	}
	return out
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	for _, form := range []string{time.RFC3339, "2006-01-02"} {
		if at, err := time.Parse(form, s); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no date", s)
	return time.Time{}
}

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	for _, patients := range []int{1, 3, 6, 12, 40} {
		s := generate(t, records.Options{Seed: 5, Patients: patients, Now: day})
		for _, r := range s.all {
			r.Root().Descend(func(n fhir.Node) {
				isBinary := n.Name() == "url" && strings.HasPrefix(n.Text(), "Binary/")
				if (n.Name() == "reference" || isBinary) && s.byRef[n.Text()] == nil {
					t.Errorf("%d patients: %s/%s refers to %s, which is not there", patients, r.Type(), r.ID(), n.Text())
				}
			})
		}
	}
}

func TestOnlyGroupVisitsNameTwoPatients(t *testing.T) {
	s := generate(t, records.Options{Seed: 5, Patients: 40, Now: day})
	groups := 0
	for _, r := range s.all {
		var named []string
		r.Root().Descend(func(n fhir.Node) {
			if n.Name() == "reference" && strings.HasPrefix(n.Text(), "Patient/") && !slices.Contains(named, n.Text()) {
				named = append(named, n.Text())
			}
		})
		if r.Type() == "Provenance" {
			continue // judged by its targets
		}
		switch group := strings.HasPrefix(r.ID(), "group-"); {
		case group && len(named) == 2:
			groups++
		case len(named) > 1, group:
			t.Errorf("%s/%s names %v", r.Type(), r.ID(), named)
		case len(named) == 1 && !strings.HasPrefix(r.ID(), strings.TrimPrefix(named[0], "Patient/")):
			t.Errorf("%s/%s belongs to %s, whose number its id does not bear", r.Type(), r.ID(), named[0])
		}
	}
	if groups != 4*3 {
		t.Errorf("%d group resources, want two appointments and a Group for each of 4 blocks", groups)
	}
}

func TestEveryRequiredCodeIsOfItsValueSet(t *testing.T) {
	raw, err := os.ReadFile("testdata/required-codes.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Bindings map[string]string
		Codes    map[string][]string
	}
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	s := generate(t, records.Options{Seed: 6, Patients: 60, Now: day})
	seen := 0
	for path, set := range table.Bindings {
		parts := strings.Split(path, ".")
		if !slices.ContainsFunc(s.all, func(r *fhir.Resource) bool { return r.Type() == parts[0] }) {
			continue // a data type: checked below by where it stands
		}
		for _, r := range s.ofType(parts[0]) {
			for n := range r.Root().At(parts[1:]...) {
				codes := []string{n.Text()}
				if n.IsObject() {
					codes = nil
					for c := range n.At("coding", "code") {
						codes = append(codes, c.Text())
					}
				}
				for _, c := range codes {
					seen++
					if !slices.Contains(table.Codes[set], c) {
						t.Errorf("%s/%s: %s is %q, which is not of %s", r.Type(), r.ID(), path, c, set)
					}
				}
			}
		}
	}
	elements := map[string]string{"system": "contact-point-system", "use": "", "periodUnit": "units-of-time"}
	for _, r := range s.all {
		r.Root().Descend(func(n fhir.Node) {
			if n.Name() != "telecom" {
				if n.Name() == "periodUnit" && !slices.Contains(table.Codes[elements["periodUnit"]], n.Text()) {
					t.Errorf("%s/%s: periodUnit %q", r.Type(), r.ID(), n.Text())
				}
				return
			}
			for p := range n.Items() {
				if !slices.Contains(table.Codes["contact-point-system"], p.Get("system").Text()) || !slices.Contains(table.Codes["contact-point-use"], p.Get("use").Text()) {
					t.Errorf("%s/%s has a telecom of no known system or use", r.Type(), r.ID())
				}
			}
		})
	}
	if seen < 5000 {
		t.Errorf("only %d codes checked", seen)
	}
}

func TestTimeRunsForward(t *testing.T) {
	s := generate(t, records.Options{Seed: 9, Patients: 60, Now: day})
	births := map[string]time.Time{}
	for _, p := range s.ofType("Patient") {
		births["Patient/"+p.ID()] = instant(t, text(p, "birthDate"))
	}
	for _, r := range s.all {
		if instant(t, r.LastUpdated()).After(day) {
			t.Errorf("%s/%s was last updated after today", r.Type(), r.ID())
		}
		r.Root().Descend(func(n fhir.Node) {
			start, end := n.Get("start").Text(), n.Get("end").Text()
			if start != "" && end != "" && instant(t, end).Before(instant(t, start)) {
				t.Errorf("%s/%s has a period that ends before it starts", r.Type(), r.ID())
			}
		})
		owner := text(r, "subject", "reference") + text(r, "patient", "reference")
		for _, name := range []string{"effectiveDateTime", "authoredOn", "occurrenceDateTime", "performedDateTime", "onsetDateTime", "recordedDate", "sent", "issued", "whenHandedOver", "authored"} {
			at := text(r, name)
			if at == "" {
				continue
			}
			if birth, ok := births[owner]; ok && instant(t, at).Before(birth) {
				t.Errorf("%s/%s: %s lies before the patient's birth", r.Type(), r.ID(), name)
			}
			if future := r.Type() == "CommunicationRequest" || r.Type() == "ServiceRequest" && text(r, "status") == "active"; !future && instant(t, at).After(day) {
				t.Errorf("%s/%s: %s lies after today", r.Type(), r.ID(), name)
			}
		}
		if onset, over := text(r, "onsetDateTime"), text(r, "abatementDateTime"); over != "" && instant(t, over).Before(instant(t, onset)) {
			t.Errorf("%s/%s ended before it began", r.Type(), r.ID())
		}
		if w := text(r, "whenPrepared"); w != "" && instant(t, text(r, "whenHandedOver")).Before(instant(t, w)) {
			t.Errorf("%s/%s was handed over before it was prepared", r.Type(), r.ID())
		}
	}
}

func TestTheDeadAreNotSeenAnyMore(t *testing.T) {
	s := generate(t, records.Options{Seed: 4, Patients: 110, Now: day})
	dead := 0
	for _, p := range s.ofType("Patient") {
		died := text(p, "deceasedDateTime")
		if died == "" {
			continue
		}
		dead++
		for _, r := range s.ofType("Encounter") {
			if text(r, "subject", "reference") == "Patient/"+p.ID() && instant(t, text(r, "period", "start")).After(instant(t, died)) {
				t.Errorf("%s begins after death", r.ID())
			}
		}
		for _, r := range s.ofType("Appointment") {
			if slices.Contains(texts(r, "participant", "actor", "reference"), "Patient/"+p.ID()) && text(r, "status") == "booked" {
				t.Errorf("%s is booked for a dead patient", r.ID())
			}
		}
	}
	if dead < 2 {
		t.Errorf("%d dead patients among 110, want some", dead)
	}
}

func TestEverythingHasAProvenanceWithAuthorAndTransmitter(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 20, Now: day})
	told := map[string]bool{}
	for _, p := range s.ofType("Provenance") {
		for _, target := range texts(p, "target", "reference") {
			told[target] = true
		}
		roles := texts(p, "agent", "type", "coding", "code")
		if !slices.Contains(roles, "author") || !slices.Contains(roles, "transmitter") {
			t.Errorf("%s has the agents %v", p.ID(), roles)
		}
		for a := range p.Root().At("agent") {
			who := a.Get("who").Get("reference").Text()
			if strings.HasPrefix(who, "Practitioner/") && !a.Get("onBehalfOf").Exists() {
				t.Errorf("%s: %s acts on nobody's behalf", p.ID(), who)
			}
		}
	}
	for key, r := range s.byRef {
		if r.Type() != "Provenance" && !told[key] {
			t.Errorf("nothing tells who wrote %s", key)
		}
	}
}

func TestMissingDataIsToldInBothWays(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 20, Now: day})
	var extension, code bool
	for _, r := range s.all {
		r.Root().Descend(func(n fhir.Node) {
			extension = extension || n.Name() == "url" && n.Text() == "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
			code = code || n.Get("system").Text() == "http://terminology.hl7.org/CodeSystem/data-absent-reason" && n.Get("code").Text() == "unknown"
		})
	}
	if !extension || !code {
		t.Errorf("data-absent-reason extension %t, code unknown %t; want both", extension, code)
	}
}

func TestNotesOfEveryKindAndReportsOfEverySection(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 20, Now: day})
	var kinds, sections, inDocuments []string
	for _, d := range s.ofType("DocumentReference") {
		kinds = append(kinds, texts(d, "type", "coding", "code")...)
		for _, url := range texts(d, "content", "attachment", "url") {
			inDocuments = append(inDocuments, text(d, "subject", "reference")+" "+url)
		}
	}
	for _, want := range []string{"18842-5", "11488-4", "34117-2", "11506-3", "28570-0", "18748-4", "11502-2", "11526-1"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("no note of type %s", want)
		}
	}
	for _, r := range s.ofType("DiagnosticReport") {
		sections = append(sections, texts(r, "category", "coding", "code")...)
		for _, url := range texts(r, "presentedForm", "url") {
			if !slices.Contains(inDocuments, text(r, "subject", "reference")+" "+url) {
				t.Errorf("%s presents %s, which no DocumentReference of the patient has", r.ID(), url)
			}
		}
	}
	for _, want := range []string{"LAB", "LP29708-2", "LP7839-6", "LP29684-5"} {
		if !slices.Contains(sections, want) {
			t.Errorf("no report of section %s", want)
		}
	}
	var screened []string
	for _, r := range append(s.ofType("Observation"), s.ofType("Condition")...) {
		for _, c := range texts(r, "category", "coding", "code") {
			screened = append(screened, r.Type()+" "+c)
		}
	}
	for _, want := range []string{"Observation sdoh", "Observation functional-status", "Observation disability-status", "Observation cognitive-status", "Condition sdoh"} {
		if !slices.Contains(screened, want) {
			t.Errorf("no %s", want)
		}
	}
}

var startXref = regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`)

func TestBinariesArePDFsAsTheirDocumentsSay(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 20, Now: day})
	n := 0
	for _, d := range s.ofType("DocumentReference") {
		for a := range d.Root().At("content", "attachment") {
			url := a.Get("url").Text()
			if url == "" {
				continue
			}
			n++
			if name, beside := strings.CutPrefix(url, "documents/"); beside {
				url = "Binary/" + strings.TrimSuffix(name, ".pdf")
			}
			content, err := base64.StdEncoding.DecodeString(text(s.byRef[url], "data"))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha1.Sum(content)
			if a.Get("size").Text() != strconv.Itoa(len(content)) || a.Get("hash").Text() != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("%s: size or hash of %s is wrong", d.ID(), url)
			}
			if text(s.byRef[url], "securityContext", "reference") != "DocumentReference/"+d.ID() {
				t.Errorf("%s does not name its document", url)
			}
			m := startXref.FindSubmatch(content)
			if !bytes.HasPrefix(content, []byte("%PDF-1.4\n")) || m == nil {
				t.Fatalf("%s is no PDF", url)
			}
			at, err := strconv.Atoi(string(m[1]))
			if err != nil || !bytes.HasPrefix(content[at:], []byte("xref\n0 6\n")) {
				t.Fatalf("%s: the cross-reference table is not at %d", url, at)
			}
			for i, line := range strings.Split(string(content[at:]), "\n")[3:8] {
				offset, err := strconv.Atoi(line[:10])
				if err != nil || !bytes.HasPrefix(content[offset:], []byte(strconv.Itoa(i+1)+" 0 obj")) {
					t.Errorf("%s: object %d is not where the table says", url, i+1)
				}
			}
		}
	}
	if n < 8 {
		t.Errorf("%d PDFs, want more", n)
	}
}

func TestNobodyIsReal(t *testing.T) {
	s := generate(t, records.Options{Seed: 11, Patients: 60, Now: day})
	for _, r := range s.all {
		r.Root().Descend(func(n fhir.Node) {
			value := n.Get("value").Text()
			switch system := n.Get("system").Text(); system {
			case "phone":
				if value != "" && !regexp.MustCompile(`^520-555-01\d\d$`).MatchString(value) {
					t.Errorf("%s/%s has a number outside the range kept for fiction", r.Type(), r.ID())
				}
			case "email":
				if !strings.HasSuffix(value, "@example.org") {
					t.Errorf("%s/%s has an address outside example.org", r.Type(), r.ID())
				}
			case "http://hl7.org/fhir/sid/us-npi":
				if len(value) != 10 || value[0] != '9' || !luhn("80840"+value) {
					t.Errorf("%s/%s has the NPI %s: want 10 digits from 9, check digit right", r.Type(), r.ID(), value)
				}
			}
		})
	}
}

func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		n := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
