package reqctx_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/reqctx"
)

func TestTheLineTellsWhatBecameOfTheRequest(t *testing.T) {
	e := reqctx.New("id-1", time.Time{})
	e.SetType("Observation")
	e.SetCache("stale")
	e.SetTrace("0af7651916cd43dd8448eb211c80319c")
	e.Count(3, 1, 2)
	e.Count(2, 0, 0) // a second entry of a batch
	e.Upstream(20 * time.Millisecond)
	e.Upstream(30 * time.Millisecond)
	var out bytes.Buffer
	e.Log(context.Background(), slog.New(slog.NewTextHandler(&out, nil)), 200, 17, time.Time{})
	for _, want := range []string{" type=Observation", " cache=stale", " trace=0af7651916cd43dd8448eb211c80319c", " upstream_calls=2 upstream_time=50ms", " released=5 masked=1 withheld=2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no%s in %s", want, &out)
		}
	}
	out.Reset()
	reqctx.New("id-2", time.Time{}).Log(context.Background(), slog.New(slog.NewTextHandler(&out, nil)), 200, 17, time.Time{})
	for _, no := range []string{"released", "upstream", "type=", "cache=", "trace="} {
		if strings.Contains(out.String(), no) {
			t.Errorf("%s in a line that has nothing to say of it: %s", no, &out)
		}
	}
}

func TestReasonsOfOneRequestAreBounded(t *testing.T) {
	e := reqctx.New("id", time.Time{})
	for i := range 1000 {
		e.Withhold(fmt.Sprint("word", i))
	}
	f := e.Facts()
	if len(f.Reasons) > 41 || f.Reasons["other"] < 900 {
		t.Errorf("%d words, %d others", len(f.Reasons), f.Reasons["other"])
	}
	f.Reasons["x"] = 1
	if e.Facts().Reasons["x"] != 0 {
		t.Error("a reader changes the event")
	}
	var none *reqctx.Event
	none.SetType("x")
	none.Count(1, 1, 1)
	none.Withhold("x")
	none.Upstream(1)
	if none.Facts().ID != "" {
		t.Error("no event has facts")
	}
}
