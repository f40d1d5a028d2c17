package gateway_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
)

// patientSink keeps nothing and tells whether an event could still be written.
type patientSink struct{ recorded chan error }

func (s patientSink) Record(ctx context.Context, _ audit.Event) error {
	s.recorded <- ctx.Err()
	return ctx.Err()
}

func TestAnAccessIsWrittenDownEvenWhenTheClientHasLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	ehr := &scripted{search: func(string) string {
		leave()
		<-left
		return `{"resourceType":"Bundle"}`
	}}
	sink := patientSink{recorded: make(chan error, 1)}
	h := openOver(t, ehr, somewhere(t), 0, func(o *gateway.Options) { o.Audit = sink })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+"/Observation", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+alice)
	resp, err := h.client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("the client did not leave")
	}
	time.Sleep(50 * time.Millisecond) // for the server to notice
	close(left)
	select {
	case err := <-sink.recorded:
		if err != nil {
			t.Errorf("recorded with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("nothing was recorded")
	}
}
