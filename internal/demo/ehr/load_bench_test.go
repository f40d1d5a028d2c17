package ehr_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// kilobyte makes a resource of about 1 KB: 100 observations per patient.
func kilobyte(out *bytes.Buffer, n int) {
	fmt.Fprintf(out, `{"resourceType":"Observation","id":"obs-%09d","meta":{"versionId":"1","lastUpdated":"2026-01-02T03:04:05Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]},"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"2345-7","display":"Glucose [Mass/volume] in Serum or Plasma"}],"text":"Glucose"},"subject":{"reference":"Patient/p-%d"},"encounter":{"reference":"Encounter/e-%d"},"performer":[{"reference":"Practitioner/d-%d"}],"effectiveDateTime":"20%02d-03-04T05:06:07Z","valueQuantity":{"value":%d.5,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"},"note":[{"text":"%s"}]}`,
		n, n/100, n/10, n%200, n%25, 60+n%100, strings.Repeat("x", 150))
	out.WriteByte('\n')
}

// BenchmarkLoad loads b.N resources; -benchtime 1000000x is the million that the
// demonstration has to bear.
func BenchmarkLoad(b *testing.B) {
	reader, writer, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		var out bytes.Buffer
		for i := range b.N {
			if kilobyte(&out, i); out.Len() > 1<<20 || i == b.N-1 {
				_, _ = writer.Write(out.Bytes())
				out.Reset()
			}
		}
		_ = writer.Close()
	}()
	server := ehr.New(ehr.Options{})
	b.ReportAllocs()
	n, err := server.LoadNDJSON(b.Context(), reader)
	if err != nil || n != b.N {
		b.Fatal(n, err)
	}
	b.StopTimer()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/float64(n), "heapB/resource")
	b.ReportMetric(float64(residentKB())*1024/float64(n), "rssB/resource")
	runtime.KeepAlive(server)
}

func residentKB() int {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kb int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb
		}
	}
	return 0
}
