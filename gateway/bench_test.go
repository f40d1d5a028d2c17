package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// labs gives a page of 20 KB like those that apps ask for most.
func labs(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"resourceType":"Observation","id":"o-%d","meta":{"versionId":"1","lastUpdated":"2024-01-01T00:00:00Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]},"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}],"text":"Laboratory"}],"code":{"coding":[{"system":"http://loinc.org","code":"2339-0","display":"Glucose [Mass/volume] in Blood"}],"text":"Glucose [Mass/volume] in Blood"},"subject":{"reference":"Patient/alice"},"encounter":{"reference":"Encounter/e-%d"},"effectiveDateTime":"2024-01-01T08:00:00-05:00","issued":"2024-01-01T08:00:00.000-05:00","valueQuantity":{"value":90,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}`, i, i))
	}
	return out
}

// BenchmarkSearch measures a 20 KB search through the whole path over real
// connections, the embedded EHR's work included.
func BenchmarkSearch(b *testing.B) {
	h := open(b, 0, labs(20)...)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, h.base+"/Observation?category=laboratory", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+alice)
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || n < 15_000 {
			b.Fatalf("%d, %d bytes, %v", resp.StatusCode, n, err)
		}
	}
}
