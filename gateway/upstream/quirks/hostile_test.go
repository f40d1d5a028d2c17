package quirks_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/gateway/upstream/upstreamtest"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/racing"
)

const fourValues = `
types:
  Observation:
    one_of: [category]
    fan_out: {param: category, values: [s|0, s|1, s|2, s|3]}
`

// Servers differ in what a value finds: those that index one category of several,
// that know their own codes for the ones that are asked for, that ignore the
// parameter. Whatever is found by any value is given once, page by page.
func TestWhatSeveralValuesFindIsGivenOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		byValue := make([][]string, 4)
		var all []string
		for i := range rapid.IntRange(0, 30).Draw(r, "resources") {
			id := fmt.Sprintf("o%02d", i)
			bits := rapid.IntRange(0, 15)
			has, finds := bits.Draw(r, "has"), 0
			switch rapid.IntRange(0, 2).Draw(r, "server") {
			case 0: // finds it by some of its values
				finds = has & bits.Draw(r, "indexed")
			case 1: // and by others too
				finds = has | bits.Draw(r, "mapped")
			case 2: // has words of its own
				has, finds = 0, bits.Draw(r, "own words")
			}
			codes := []string{"other|x"}
			for v := range 4 {
				if has&(1<<v) != 0 {
					codes = append(codes, "s|"+strconv.Itoa(v))
				}
			}
			for v := range 4 {
				if finds&(1<<v) != 0 {
					byValue[v] = append(byValue[v], observation(id, coded(codes...)))
				}
			}
			if finds != 0 {
				all = append(all, "Observation/"+id)
			}
		}
		up := &scripted{answer: func(_ context.Context, path string) (string, error) {
			v, err := strconv.Atoi(value(path))
			if err != nil {
				return "", err
			}
			return searchset(byValue[v]...), nil
		}}
		size := rapid.SampledFrom([]int{1, 2, 7, 100}).Draw(r, "page")
		got, err := upstreamtest.All(t.Context(), over(t, up, fourValues, nil), "Observation", fmt.Sprintf("patient=a&_count=%d", size))
		if err != nil {
			r.Fatal(err)
		}
		if slices.Sort(got.Matches); !slices.Equal(got.Matches, all) {
			r.Fatalf("%v, want %v", got.Matches, all)
		}
		for _, n := range got.Pages {
			if n > size {
				r.Fatalf("pages of %v", got.Pages)
			}
		}
	})
}

// A server that finds everything by each value, and more than a link can note.
func TestAServerThatIgnoresTheValueGivesEachResourceOnce(t *testing.T) {
	var all []string
	for i := range 600 {
		all = append(all, observation(fmt.Sprintf("o%d", i), coded("s|"+strconv.Itoa(i%4))))
	}
	up := &scripted{answer: func(context.Context, string) (string, error) { return searchset(all...), nil }}
	got, err := upstreamtest.All(t.Context(), over(t, up, fourValues, nil), "Observation", "patient=a&_count=150")
	slices.Sort(got.Matches)
	if n := len(got.Matches); err != nil || n != 600 || len(slices.Compact(got.Matches)) != 600 {
		t.Errorf("%d: %v", n, err)
	}
}

func outcomeOf(severity, code string) string {
	return `{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"` + severity + `","code":"` + code + `","diagnostics":"Patient/b of host-7"}]},"search":{"mode":"outcome"}}`
}

func TestWhatNobodyAskedForIsNotPartOfTheAnswer(t *testing.T) {
	mine := observation("mine", "")
	for name, tt := range map[string]struct {
		entries []string
		want    []string
	}{
		"includes":                      {[]string{mine, `{"resource":{"resourceType":"Patient","id":"b"},"search":{"mode":"include"}}`}, []string{"Observation/mine"}},
		"includes of the same type":     {[]string{mine, `{"resource":{"resourceType":"Observation","id":"b"},"search":{"mode":"include"}}`}, []string{"Observation/mine"}},
		"other types as matches":        {[]string{mine, `{"resource":{"resourceType":"Patient","id":"b"},"search":{"mode":"match"}}`}, []string{"Observation/mine"}},
		"other types with no mode":      {[]string{mine, `{"resource":{"resourceType":"Patient","id":"b"}}`}, []string{"Observation/mine"}},
		"warnings":                      {[]string{mine, outcomeOf("warning", "processing")}, []string{"Observation/mine"}},
		"warnings alone":                {[]string{outcomeOf("warning", "processing")}, nil},
		"an error beside results":       {[]string{outcomeOf("error", "processing"), mine}, []string{"Observation/mine"}},
		"an outcome that says match":    {[]string{mine, strings.Replace(outcomeOf("warning", "x"), `"outcome"`, `"match"`, 1)}, []string{"Observation/mine"}},
		"the same twice":                {[]string{mine, mine}, []string{"Observation/mine"}},
		"ids that differ by case alone": {[]string{mine, observation("Mine", "")}, []string{"Observation/mine", "Observation/Mine"}},
		"the same as match and include": {[]string{mine, strings.Replace(mine, `"match"`, `"include"`, 1)}, []string{"Observation/mine"}},
	} {
		up := &scripted{answer: func(context.Context, string) (string, error) {
			return strings.TrimSuffix(searchset(tt.entries...), "}") + `,"total":4711}`, nil
		}}
		r := over(t, up, "search: {modifiers: drop}", nil)
		names, err := firstPage(t, r, "Observation", "_id=mine,Mine,b")
		if err != nil || !slices.Equal(names, tt.want) {
			t.Errorf("%s: %v %v, want %v", name, names, err, tt.want)
		}
		answer, err := r.Search(t.Context(), "Observation", "_id=mine,Mine,b")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || strings.Contains(string(raw), "4711") || strings.Contains(string(raw), "host-7") {
			t.Errorf("%s: %v: a total or a word of the server's is passed on", name, err)
		}
	}
}

func TestARefusalWithStatus200IsNoEmptyAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		severity, code string
		want           fault.Kind
		costly         bool
	}{
		"a search that is not understood": {"error", "invalid", fault.Invalid, false},
		"something that is required":      {"fatal", "required", fault.Invalid, false},
		"rights that are not there":       {"fatal", "forbidden", fault.Unsupported, false},
		"too much":                        {"fatal", "too-costly", fault.Unsupported, true},
		"too often":                       {"error", "throttled", fault.TooMany, false},
		"for the moment":                  {"error", "transient", fault.Unavailable, false},
	} {
		up := &scripted{answer: func(context.Context, string) (string, error) { return searchset(outcomeOf(tt.severity, tt.code)), nil }}
		for _, text := range []string{"search: {modifiers: drop}", sixteen} {
			_, err := firstPage(t, over(t, up, text, nil), "Observation", "patient=a")
			if fault.KindOf(err) != tt.want || errors.Is(err, upstream.ErrCostly) != tt.costly || strings.Contains(fault.PublicOf(err), "host-7") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// One value that the server does not know finds nothing; the others do.
	up := &scripted{answer: func(_ context.Context, path string) (string, error) {
		if v := value(path); v == "3" || v == "0" {
			return searchset(outcomeOf("error", "value")), nil
		}
		return searchset(observation("o"+value(path), "")), nil
	}}
	if names, err := firstPage(t, over(t, up, sixteen, nil), "Observation", "patient=a"); err != nil || len(names) != 14 {
		t.Errorf("%v %v", names, err)
	}
}

func TestALinkThatLeadsBackOrElsewhereIsAnError(t *testing.T) {
	const base = "https://ehr.example.org/fhir"
	for name, links := range map[string]map[string]string{
		"to itself":              {"": base + "?page=1", base + "?page=1": base + "?page=1"},
		"to one before":          {"": base + "?page=1", base + "?page=1": base + "?page=2", base + "?page=2": base + "?page=1"},
		"to no URL":              {"": "http://[::1"},
		"of a script":            {"": "javascript:alert(1)"},
		"to another host":        {"": "https://elsewhere.invalid/fhir?page=2"},
		"to a host of that name": {"": "https://ehr.example.org.invalid/fhir?page=2"},
		"beside the base":        {"": "https://ehr.example.org/fhir2?page=2"},
		"as somebody else":       {"": "https://a@ehr.example.org/fhir?page=2"},
	} {
		asked := 0
		up := &scripted{answer: func(_ context.Context, path string) (string, error) {
			if asked++; asked > 50 {
				return "", errors.New("asked for ever")
			}
			from := ""
			if strings.Contains(path, ":") && !strings.Contains(path, "?patient") {
				from = path
			}
			body := searchset(observation(fmt.Sprintf("o%d", asked), ""))
			if to := links[from]; to != "" {
				body = strings.TrimSuffix(body, "}") + `,"link":[{"relation":"next","url":"` + to + `"}]}`
			}
			return body, nil
		}}
		parsed, err := fhir.ParseBase(base)
		if err != nil {
			t.Fatal(err)
		}
		names, err := firstPage(t, over(t, kept{up, parsed}, "search: {modifiers: drop}", nil), "Observation", "patient=a&_count=100")
		if fault.KindOf(err) != fault.Upstream || asked > 3 {
			t.Errorf("%s: %v after %d questions: %v", name, names, asked, err)
		}
	}
}

// kept follows no link outside the base, as every connector.
type kept struct {
	*scripted
	base fhir.Base
}

func (k kept) Next(ctx context.Context, link string) (*upstream.Answer, error) {
	if !upstream.Within(k.base, link) {
		return nil, fault.New(fault.Upstream, "The record system gave an unusable answer.")
	}
	return k.scripted.Next(ctx, link)
}

// What is followed is what stands on this server, whatever form its references have.
func TestReferencesOfEveryFormAreFollowedWhereTheyLead(t *testing.T) {
	var entries []string
	for i, ref := range []string{
		"Medication/m0", "https://ehr.example.org/fhir/Medication/m1", "Medication/m2/_history/7",
		"https://elsewhere.invalid/fhir/Medication/x0", "urn:uuid:5b0a1b3c-0000-4000-8000-000000000000", "#contained", "Medication?code=x1",
		"../Medication/x2", "Medication/x3/../x4", "Patient/x5", "http://ehr.example.org/fhir/Medication/x6", "Medication/" + strings.Repeat("x", 65), "",
	} {
		entries = append(entries, fmt.Sprintf(`{"resource":{"resourceType":"MedicationRequest","id":"r%d","contained":[{"resourceType":"Medication","id":"contained"}],"medicationReference":{"reference":%q}}}`, i, ref))
	}
	up := &scripted{answer: func(_ context.Context, path string) (string, error) {
		if strings.HasPrefix(path, "MedicationRequest?") {
			return searchset(entries...), nil
		}
		_, ids, _ := strings.Cut(path, "_id=")
		ids, _, _ = strings.Cut(ids, "&")
		var found []string
		for id := range strings.SplitSeq(ids, ",") {
			found = append(found, `{"resource":{"resourceType":"Medication","id":"`+id+`"}}`)
		}
		// And some that were not asked for.
		return searchset(append(found, `{"resource":{"resourceType":"Patient","id":"b"}}`, `{"resource":{"resourceType":"Medication","id":"b"}}`)...), nil
	}}
	names, err := firstPage(t, over(t, up, "search: {never: [_include]}", nil), "MedicationRequest", "patient=a&_include=MedicationRequest:medication")
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "MedicationRequest/") })
	if want := []string{"Medication/m0", "Medication/m1", "Medication/m2"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v %v", names, err)
	}
}

func TestAReadThatGivesAnotherResourceGivesNone(t *testing.T) {
	for name, body := range map[string]string{
		"another id":            `{"resourceType":"Observation","id":"b"}`,
		"an id of another case": `{"resourceType":"Observation","id":"A"}`,
		"another type":          `{"resourceType":"Patient","id":"a"}`,
		"no id":                 `{"resourceType":"Observation"}`,
		"an outcome":            `{"resourceType":"OperationOutcome","issue":[]}`,
		"a Bundle":              searchset(observation("a", "")),
	} {
		up := &scripted{answer: func(context.Context, string) (string, error) { return body, nil }}
		if names, err := firstPage(t, over(t, up, "search: {never: [_id]}", nil), "Observation", "_id=a"); err != nil || len(names) != 0 {
			t.Errorf("%s: %v %v", name, names, err)
		}
	}
}

// A few kilobytes that become 80 MiB: what is one entry ends at the bound of one,
// and what is many small ones passes without being held.
func TestACompressedBombIsBounded(t *testing.T) {
	if racing.On {
		t.Skip("packing and unpacking it takes minutes under the race detector")
	}
	var inflated int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"resourceType":"Observation","id":"o","note":[{"text":"`)
		block := strings.Repeat("x", 1<<20)
		for range 80 {
			if _, err := io.WriteString(z, block); err != nil {
				return
			}
			inflated += 1 << 20
		}
		_, _ = io.WriteString(z, `"}]}}]}`)
		_ = z.Close()
	}))
	t.Cleanup(srv.Close)
	base, err := fhir.ParseBase(srv.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	up, err := fhirserver.New(fhirserver.Options{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	for _, text := range []string{"search: {modifiers: drop}", byList} {
		p, err := profiles.Parse([]byte("name: test\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		r, err := quirks.New(quirks.Options{Upstream: up, Base: base, Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		if names, err := firstPage(t, r, "Observation", "patient=a"); fault.KindOf(err) != fault.Upstream {
			t.Errorf("%v %v", names, err)
		}
	}
}
