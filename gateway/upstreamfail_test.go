package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
)

// wire is an EHR that writes bytes on a TCP connection as a test tells it,
// whatever HTTP has to say about them.
func wire(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if strings.HasSuffix(r.URL.Path, "/metadata") {
					_, _ = io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					return
				}
				_, _ = io.WriteString(c, answer)
			})
		}
	})
	return "http://" + l.Addr().String()
}

// secretDetails is what no app may hear of an EHR's failure.
const secretDetails = "ORA-00942 db7.ehr.internal:1521 Patient/bob Bloom java.lang.NullPointerException"

func said(status int, headers ...string) string {
	body := `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception","diagnostics":"` + secretDetails + `"}]}`
	return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\nConnection: close\r\nX-Powered-By: %s\r\n%s\r\n%s",
		status, len(body), secretDetails, strings.Join(append(headers, ""), "\r\n"), body)
}

const (
	bundleHead = `{"resourceType":"Bundle","type":"searchset","entry":[`
	aliceObs   = `{"resource":{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/alice"},"code":{"text":"x"}}}`
	wholePage  = bundleHead + aliceObs + `]}`
)

func withBody(kind, body string, headers ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n%s\r\n%s", kind, strings.Join(append(headers, ""), "\r\n"), body)
}

// bomb is 64 MiB of nothing in 64 kB.
func bomb(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := io.WriteString(z, bundleHead); err != nil {
		t.Fatal(err)
	}
	space := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		if _, err := z.Write(space); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWhateverAnEHRSaysAmissTheAppGetsAnOutcomeWithoutItsDetails(t *testing.T) {
	const json = "application/fhir+json"
	page := len(wholePage)
	for name, tt := range map[string]struct {
		answer string
		search int // status of a search
		read   []int
		retry  string
	}{
		"400":                         {said(400), 400, []int{400, 404}, ""},
		"401":                         {said(401), 502, []int{502, 404}, ""},
		"403":                         {said(403), 400, []int{404}, ""},
		"404":                         {said(404), 404, []int{404}, ""},
		"405":                         {said(405), 400, []int{404}, ""},
		"406":                         {said(406), 502, []int{502, 404}, ""},
		"409":                         {said(409), 502, []int{502}, ""},
		"410":                         {said(410), 404, []int{404}, ""},
		"412":                         {said(412), 502, []int{502}, ""},
		"415":                         {said(415), 502, []int{502}, ""},
		"422":                         {said(422), 400, []int{400, 404}, ""},
		"429":                         {said(429), 429, []int{429}, "30"},
		"429 with Retry-After":        {said(429, "Retry-After: 77"), 429, []int{429}, "77"},
		"429 with a useless one":      {said(429, "Retry-After: soon"), 429, []int{429}, "30"},
		"429 for years":               {said(429, "Retry-After: 99999999"), 429, []int{429}, "3600"},
		"500":                         {said(500), 502, []int{502}, ""},
		"501":                         {said(501), 400, []int{404}, ""},
		"502":                         {said(502), 502, []int{502}, ""},
		"503":                         {said(503), 503, []int{503}, "10"},
		"503 with Retry-After":        {said(503, "Retry-After: 5"), 503, []int{503}, "5"},
		"504":                         {said(504), 504, []int{504}, ""},
		"511":                         {said(511), 502, []int{502}, ""},
		"302 to elsewhere":            {said(302, "Location: http://evil.example.org/fhir/Observation"), 502, []int{502}, ""},
		"206 in place of 200":         {said(206), 502, []int{502}, ""},
		"HTML with 200":               {withBody("text/html", "<html>"+secretDetails), 502, []int{404, 502}, ""},
		"HTML that says it is JSON":   {withBody(json, "<html>"+secretDetails), 502, []int{404, 502}, ""},
		"XML":                         {withBody("application/fhir+xml", "<Bundle>"+secretDetails), 502, []int{404, 502}, ""},
		"XML that says it is JSON":    {withBody(json, "<?xml version='1.0'?><Bundle>"+secretDetails), 502, []int{404, 502}, ""},
		"no type":                     {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + wholePage, 502, []int{404, 502}, ""},
		"empty":                       {withBody(json, ""), 502, []int{404, 502}, ""},
		"empty with a length":         {withBody(json, "", "Content-Length: 0"), 502, []int{404, 502}, ""},
		"null":                        {withBody(json, "null"), 502, []int{404, 502}, ""},
		"a list":                      {withBody(json, "["+wholePage+"]"), 502, []int{404, 502}, ""},
		"an outcome with 200":         {withBody(json, `{"resourceType":"OperationOutcome","issue":[{"diagnostics":"`+secretDetails+`"}]}`), 502, []int{404, 502}, ""},
		"truncated JSON":              {withBody(json, wholePage[:page-30]), 502, []int{404, 502}, ""},
		"truncated after an entry":    {withBody(json, bundleHead+aliceObs), 502, []int{404, 502}, ""},
		"a length that is too long":   {withBody(json, wholePage, fmt.Sprintf("Content-Length: %d", page+10)), 502, []int{404, 502}, ""},
		"a length that is too short":  {withBody(json, wholePage, fmt.Sprintf("Content-Length: %d", page-10)), 502, []int{404, 502}, ""},
		"two lengths":                 {withBody(json, wholePage, fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d", page, page-1)), 503, []int{503}, "10"},
		"broken chunks":               {withBody(json, "zz\r\n"+wholePage+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 502, []int{404, 502}, ""},
		"chunks without an end":       {withBody(json, fmt.Sprintf("%x\r\n%s\r\n", page, wholePage), "Transfer-Encoding: chunked"), 502, []int{404, 502}, ""},
		"gzip that is none":           {withBody(json, wholePage, "Content-Encoding: gzip"), 502, []int{404, 502}, ""},
		"a gzip bomb":                 {withBody(json, bomb(t), "Content-Encoding: gzip"), 502, []int{404, 502}, ""},
		"NDJSON":                      {withBody("application/fhir+ndjson", aliceObs+"\n"+aliceObs), 502, []int{404, 502}, ""},
		"NDJSON that says it is JSON": {withBody(json, wholePage+"\n"+wholePage), 502, []int{404, 502}, ""},
		"a byte order mark":           {withBody(json, "\xef\xbb\xbf"+wholePage), 502, []int{404, 502}, ""},
		"UTF-16":                      {withBody(json, "\xff\xfe{\x00}\x00"), 502, []int{404, 502}, ""},
		"no HTTP":                     {"SSH-2.0-" + secretDetails + "\r\n", 503, []int{503}, "10"},
		"hanging up":                  {"", 503, []int{503}, "10"},
		"half a header":               {"HTTP/1.1 200 OK\r\nContent-Ty", 503, []int{503}, "10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origin := wire(t, tt.answer)
			base, err := fhir.ParseBase(origin + "/fhir")
			if err != nil {
				t.Fatal(err)
			}
			plain := &http.Transport{ResponseHeaderTimeout: 5 * time.Second, DisableKeepAlives: true}
			for path, want := range map[string][]int{"/Observation?code=x": {tt.search}, "/Observation/o1": tt.read} {
				// Ways of its own for each, since an answer may make a source pause.
				ways, err := resilience.New(resilience.Options{Next: plain, Breaker: resilience.Breaker{Off: true}})
				if err != nil {
					t.Fatal(err)
				}
				connector, err := fhirserver.New(fhirserver.Options{Base: base, Transport: ways, MaxBody: 8 << 20})
				if err != nil {
					t.Fatal(err)
				}
				h := openOver(t, connector, base, 0)
				r := h.send(http.MethodGet, path, "alice:patient/*.rs", "")
				if r.err != nil || !slices.Contains(want, r.status) || !strings.HasPrefix(r.header.Get("Content-Type"), json) || !strings.HasPrefix(r.body, `{"issue":[`) || !strings.Contains(r.body, `"resourceType":"OperationOutcome"`) {
					t.Errorf("%s: want %v, got %v %s", path, want, r.err, r.everything())
				}
				if tt.retry != "" && r.header.Get("Retry-After") != tt.retry {
					t.Errorf("%s: Retry-After %q", path, r.header.Get("Retry-After"))
				}
				all := r.everything()
				for _, word := range append(strings.Fields(secretDetails), "evil.example.org", strings.TrimPrefix(origin, "http://"), "SSH") {
					if strings.Contains(all, word) {
						t.Errorf("%s: the app hears %q: %s", path, word, all)
					}
				}
			}
		})
	}
}
