package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// dripping takes so long for each write.
type dripping struct {
	*httptest.ResponseRecorder
	clock *handClock
	each  time.Duration
}

func (d *dripping) Write(b []byte) (int, error) {
	d.clock.pass(d.each)
	return d.ResponseRecorder.Write(b)
}

func TestAClientThatDripsIsGivenUpAndASlowLineIsNot(t *testing.T) {
	for name, tt := range map[string]struct {
		each  time.Duration
		bytes int
		whole bool
	}{
		"a byte now and then":            {20 * time.Second, 1, false},
		"one kilobyte a second":          {time.Second, 1 << 10, false},
		"eight kilobytes a second":       {time.Second, 8 << 10, true},
		"large pieces that take a while": {20 * time.Second, 256 << 10, true},
		"a line that costs nothing":      {0, 100, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &handClock{at: time.Unix(1_700_000_000, 0)}
			under := &dripping{httptest.NewRecorder(), c, tt.each}
			w := &stallWriter{ResponseWriter: under, control: http.NewResponseController(under), limit: time.Hour, now: c.now}
			var err error
			for range 300 {
				if _, err = w.Write(make([]byte, tt.bytes)); err != nil {
					break
				}
				c.pass(time.Hour) // the answer itself takes its time
			}
			if (err == nil) != tt.whole || err != nil && !errors.Is(err, errSlowClient) {
				t.Errorf("%d bytes, %v", w.sent, err)
			}
		})
	}
}
