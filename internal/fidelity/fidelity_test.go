package fidelity_test

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/fhir/compartment"
)

// The awkwardly written resources of testdata/served come back as they are, or
// as testdata/want says where a rewrite applies.
func TestAwkwardlyWrittenResourcesComeBackByteForByte(t *testing.T) {
	up := &rawUpstream{corpus: newCorpus()}
	base := up.start(t)
	up.corpus.load(t, "testdata/served", placeholders(base, ""))

	forEachStyle(t, up, func(t *testing.T, d *door) {
		want := newCorpus()
		want.load(t, "testdata/want", placeholders(base, d.base))
		compared := 0
		for k, i := range up.corpus.byKey {
			expected := i.raw
			if w := want.byKey[k]; w != nil {
				expected = w.raw
			}
			compared += d.compare(t, "p1", i, expected)
		}
		if compared != len(up.corpus.byKey) {
			t.Errorf("compared %d of %d resources", compared, len(up.corpus.byKey))
		}
	})
}

// What two readers could understand differently, or what does not certainly
// belong to the patient, is withheld whole and never repaired; the resources
// beside it come back all the same.
func TestUntrustworthyResourcesAreWithheldWhole(t *testing.T) {
	up := &rawUpstream{corpus: newCorpus()}
	base := up.start(t)
	up.corpus.load(t, "testdata/withheld", placeholders(base, ""))
	withheld := len(up.corpus.byKey)
	up.corpus.load(t, "testdata/served", placeholders(base, ""))

	forEachStyle(t, up, func(t *testing.T, d *door) {
		absentStatus, absent := d.get("p1", "Observation/not-there")
		if absentStatus != http.StatusNotFound {
			t.Errorf("a missing resource answers %d", absentStatus)
		}
		found := d.search("p1", "Observation")
		if found[key{"Observation", "decimals"}] == nil {
			t.Error("the good resources are missing")
		}
		n := 0
		for k, i := range up.corpus.byKey {
			if !bytes.Contains(i.raw, []byte("SECRET")) {
				continue
			}
			n++
			if found[k] != nil {
				t.Errorf("%s was released in a search", k)
			}
			status, body := d.get("p1", k.String())
			if status != absentStatus || !bytes.Equal(body, absent) {
				t.Errorf("%s: a withheld resource answers %d %s, a missing one %d %s", k, status, body, absentStatus, absent)
			}
		}
		if n != withheld {
			t.Errorf("looked at %d of %d", n, withheld)
		}
	})
}

// Bytes that are no JSON break the Bundle around them: then nothing leaves.
func TestAnswersThatAreNoJSONAreRefused(t *testing.T) {
	broken := newCorpus()
	broken.load(t, "testdata/broken", asItIs)
	for k, i := range broken.byKey {
		t.Run(k.ID, func(t *testing.T) {
			up := &rawUpstream{corpus: newCorpus()}
			base := up.start(t)
			up.corpus.load(t, "testdata/served", placeholders(base, ""))
			up.corpus.byKey[k] = i
			up.corpus.byType[k.Type] = append([]*item{i}, up.corpus.byType[k.Type]...)
			d := open(t, up, 0)
			for _, path := range []string{k.String(), k.Type} {
				status, body := d.get("p1", path)
				if status < 400 || bytes.Contains(body, []byte("SECRET")) || bytes.Contains(body, []byte("measured")) {
					t.Errorf("GET %s: %d %.200s", path, status, body)
				}
			}
		})
	}
}

// Every example resource of HL7 FHIR R4 that a patient may own, and the
// directory, comes back byte for byte, but for the rewrites that rewritten
// names.
func TestExamplesOfTheSpecificationComeBackByteForByte(t *testing.T) {
	if os.Getenv("PORTICO_TEST_SERVICES") == "" {
		t.Skip("needs make test")
	}
	up := &rawUpstream{corpus: newCorpus()}
	up.start(t)
	up.corpus.load(t, "npm/node_modules/hl7.fhir.r4.examples", asItIs)

	forEachStyle(t, up, func(t *testing.T, d *door) {
		compared, changed := map[key]bool{}, map[string]bool{}
		for _, patient := range up.corpus.patients(up.base) {
			mine := up.corpus.belongs(up.base, patient)
			for k := range mine {
				if compared[k] && compartment.Of(k.Type).Class == compartment.Directory {
					continue // the directory once, not once for each patient
				}
				i := up.corpus.byKey[k]
				expected, changes := rewritten(t, i, patient)
				for _, c := range changes {
					changed[k.String()+": "+c] = true
				}
				if d.compare(t, patient, i, expected) == 1 {
					compared[k] = true
				}
			}
		}
		if len(compared) != ownable {
			t.Errorf("compared %d resources; %d of the package have an owner or are directory", len(compared), ownable)
		}
		if d := cmp.Diff(namedRewrites(), slices.Sorted(maps.Keys(changed))); d != "" {
			t.Errorf("what is rewritten in the examples (-named +found):\n%s", d)
		}
	})
}

// ownable is how many resources of hl7.fhir.r4.examples 4.0.1 some patient may
// see: the rest names no patient, several, or is no data of patients.
const ownable = 477

// namedRewrites are the places of the examples that do not leave as they came:
// each holds a reference to another patient, or one that may name a patient in a
// resource that several share, which is masked, or the narrative beside it.
func namedRewrites() []string {
	return []string{
		"Appointment/2docs: Appointment.participant.actor",     // known by a display alone, which could be a patient's
		"Appointment/2docs: Appointment.supportingInformation", // a report beside somebody masked may be theirs
		"Appointment/2docs: Appointment.text",                  // a narrative beside somebody masked may name them
		"Communication/fm-attachment: Communication.about",     // known by an identifier alone
		"Communication/fm-attachment: Communication.recipient",
		"Communication/fm-attachment: Communication.sender",
		"Communication/fm-attachment: Communication.text",
		"Consent/consent-example-grantor: Consent.provision.actor.reference", // another patient as actor
		"Group/102: Group.member.entity",                                     // the other members
		"Group/102: Group.text",
		"Observation/trachcare: Observation.focus", // the mother is taught about her child
		"Patient/pat1: Patient.link.other",         // a linked record is another record
		"Patient/pat2: Patient.link.other",
		"Task/example3: Task.requester", // asked for by another patient
	}
}

func forEachStyle(t *testing.T, up *rawUpstream, run func(t *testing.T, d *door)) {
	for n, s := range styles {
		t.Run(s.name, func(t *testing.T) {
			up.style.Store(int32(n))
			run(t, open(t, up, s.hold))
		})
	}
}

// sealedFiles are the attachments of the examples whose address is one of the
// upstream's own: they leave as a sealed link to the same file.
func sealedFiles() map[string]string {
	return map[string]string{
		"Patient/f201":            "Binary/f006",
		"RelatedPerson/benedicte": "Binary/f016",
		"RelatedPerson/peter":     "Binary/f012",
	}
}

// unsealed puts the address back where a resource named above has its sealed
// link, once.
func (d *door) unsealed(i *item, got []byte) []byte {
	file, named := sealedFiles()[i.String()]
	before, rest, found := bytes.Cut(got, []byte(`"`+d.base+"/Binary/_"))
	handle, after, whole := bytes.Cut(rest, []byte(`"`))
	if !named || !found || !whole || len(handle) < 40 {
		return got
	}
	return slices.Concat(before, []byte(`"`+file+`"`), after)
}

// compare asks for one resource by read and by search and gives 1 when both
// brought exactly the expected bytes.
func (d *door) compare(t *testing.T, patient string, i *item, expected []byte) int {
	t.Helper()
	status, got := d.get(patient, i.String())
	if status != http.StatusOK {
		t.Errorf("read %s as %s: %d %.300s", i, patient, status, got)
		return 0
	}
	if !sameBytes(t, "read "+i.String(), bytes.TrimSpace(expected), bytes.TrimSpace(d.unsealed(i, got))) {
		return 0
	}
	query, ok := searchFor(i)
	if !ok {
		return 1
	}
	got = d.search(patient, query)[i.key]
	if got == nil {
		t.Errorf("search %s as %s: %s is missing", query, patient, i)
		return 0
	}
	if !sameBytes(t, "search for "+i.String(), bytes.TrimSpace(expected), d.unsealed(i, got)) {
		return 0
	}
	return 1
}

// searchFor gives a search that finds the resource. Types that no parameter
// ties to the patient can be searched by id.
func searchFor(i *item) (string, bool) {
	rule := compartment.Of(i.Type)
	switch {
	case len(rule.Narrow) == 0 && rule.Class != compartment.Directory && !slices.Contains(rule.Anchors, "_id"):
		return "", false
	default:
		return i.Type + "?_id=" + i.ID, true
	}
}

func sameBytes(t *testing.T, what string, want, got []byte) bool {
	t.Helper()
	if bytes.Equal(want, got) {
		return true
	}
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	from := max(0, at-60)
	t.Errorf("%s: differs at byte %d:\nwant …%q\ngot  …%q", what, at, want[from:min(len(want), at+60)], got[from:min(len(got), at+60)])
	return false
}

// placeholders puts the addresses of this run into a file of testdata. The
// lookalike shares all but the end of its path with the upstream.
func placeholders(upstream, gateway string) func([]byte) []byte {
	r := strings.NewReplacer(
		"@UPSTREAM@", upstream,
		"@UPSTREAM-ESCAPED@", strings.ReplaceAll(upstream, "/", `\/`),
		"@LOOKALIKE@", upstream+"2",
		"@GATEWAY@", gateway,
	)
	return func(raw []byte) []byte { return []byte(r.Replace(string(raw))) }
}
