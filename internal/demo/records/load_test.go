package records_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/portico-fhir/portico/internal/demo/records"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestABadLineIsNamedByFileAndLineButNotShown(t *testing.T) {
	for name, line := range map[string]string{
		"not JSON":           `{"resourceType":"Patient","id":"secret`,
		"duplicate names":    `{"resourceType":"Patient","id":"secret","id":"secret"}`,
		"no type":            `{"id":"secret"}`,
		"bad id":             `{"resourceType":"Patient","id":"secret/../x"}`,
		"no id":              `{"resourceType":"Patient","name":"secret"}`,
		"two resources":      `{"resourceType":"Patient","id":"secret"}{}`,
		"an array":           `["secret"]`,
		"bytes of no letter": "{\"resourceType\":\"Patient\",\"id\":\"secret\",\"x\":\"\xff\"}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"Patient.ndjson": `{"resourceType":"Patient","id":"a"}` + "\n\n" + line + "\n"})
			_, err := records.LoadDir(dir, func([]byte) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "Patient.ndjson:3: ") {
				t.Fatalf("got %v, want an error that names line 3", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows content: %v", err)
			}
		})
	}
}

func TestAFolderWithoutRecordsIsRefused(t *testing.T) {
	dir := folder(t, map[string]string{"README.txt": "x"})
	if _, err := records.LoadDir(dir, func([]byte) error { return nil }); err == nil {
		t.Error("accepted")
	}
	if _, err := records.LoadDir(filepath.Join(dir, "missing"), func([]byte) error { return nil }); err == nil {
		t.Error("a folder that is not there: accepted")
	}
}

func TestLoadedPeopleAreThePatientsAndThoseWhoActForThem(t *testing.T) {
	dir := folder(t, map[string]string{
		"Patient.ndjson": `{"resourceType":"Patient","id":"kid","name":[{"use":"old","family":"Before"},{"use":"official","given":["Kim","A"],"family":"Now"}]}` + "\r\n" +
			`{"resourceType":"Patient","id":"nora"}`,
		"RelatedPerson.ndjson": `{"resourceType":"RelatedPerson","id":"mum","patient":{"reference":"Patient/kid"},"name":[{"text":"Mum"}]}
{"resourceType":"RelatedPerson","id":"former","active":false,"patient":{"reference":"Patient/kid"}}
{"resourceType":"RelatedPerson","id":"lost","patient":{"reference":"Patient/elsewhere"}}
`,
		"Practitioner.ndjson": `{"resourceType":"Practitioner","id":"doe","name":[{"text":"Dr. Doe"}]}
{"resourceType":"Practitioner","id":"roe"}
`,
		"notes.tsv": "ignored",
	})
	var raw []string
	cast, err := records.LoadDir(dir, func(b []byte) error { raw = append(raw, string(b)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) != 7 || raw[1] != `{"resourceType":"Patient","id":"nora"}` {
		t.Errorf("emitted %d resources, want the 7 as they stand", len(raw))
	}
	got := map[string]string{}
	for _, p := range cast.People {
		got[p.Login] = p.Name + " " + strings.Join(p.FHIRUser, " ")
	}
	want := map[string]string{"kid": "Kim A Now Patient/kid", "nora": "nora Patient/nora", "mum": "Mum RelatedPerson/mum", "nora-2": "Nora Field "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c := cast.Clinicians; len(c) != 1 || c[0].Login != "doctor" || c[0].Name != "Dr. Doe" || c[0].FHIRUser[0] != "Practitioner/doe" {
		t.Errorf("clinicians: %+v", c)
	}
}

func TestTheNameOfTodayIsTheOneShown(t *testing.T) {
	for name, c := range map[string]struct{ names, want string }{
		"ended, and one since":   {`[{"family":"Shaw","given":["Amy"],"period":{"end":"2020-07-22"}},{"family":"Baxter","given":["Amy"],"period":{"start":"2020-07-22"}}]`, "Amy Baxter"},
		"marked as old":          {`[{"use":"old","family":"Shaw"},{"family":"Baxter"}]`, "Baxter"},
		"official before others": {`[{"use":"nickname","given":["Jim"]},{"use":"official","given":["James"]}]`, "James"},
		"official, but ended":    {`[{"use":"usual","given":["Jim"]},{"use":"official","given":["James"],"period":{"end":"2020"}}]`, "Jim"},
		"ended, and no other":    {`[{"family":"Shaw","period":{"end":"2020"}}]`, "Shaw"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"Patient.ndjson": `{"resourceType":"Patient","id":"a","name":` + c.names + `}`})
			cast, err := records.LoadDir(dir, func([]byte) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			if got := cast.People[0].Name; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnErrorOfEmitEndsTheLoading(t *testing.T) {
	full := errors.New("full")
	dir := folder(t, map[string]string{"a.ndjson": `{"resourceType":"Patient","id":"a"}`})
	if _, err := records.LoadDir(dir, func([]byte) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v, want the error of emit", err)
	}
}

// shared is data that lies beside the project on some machines.
const shared = "../../../../shared/data"

func TestThePublicSampleSetLoadsAsItIs(t *testing.T) {
	dir := filepath.Join(shared, "records")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the sample set is not beside the project")
	}
	n := 0
	cast, err := records.LoadDir(dir, func([]byte) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if n < 1000 || len(cast.People) < 10 {
		t.Errorf("%d resources and %d people, want the whole set", n, len(cast.People))
	}
}
