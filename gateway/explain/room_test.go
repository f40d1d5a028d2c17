package explain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/explain"
)

// Whoever holds a ticket may send as many requests as they like, and large ones.
func TestWhatWaitsIsBoundedByItsSizeToo(t *testing.T) {
	var room explain.Room
	now := time.Unix(1e9, 0)
	large := make([]explain.Explanation, 50)
	for i := range large {
		large[i].Entries = make([]*explain.Entry, 1000)
	}
	for i := range 200 {
		room.Keep(fmt.Sprint(i), large, now)
	}
	lines := 0
	for i := range 200 {
		for _, e := range room.Of(fmt.Sprint(i), now) {
			lines += len(e.Entries)
		}
	}
	if lines > 200_000 {
		t.Errorf("%d entries wait", lines)
	}
	if got := room.Of("199", now); len(got) == 0 {
		t.Error("the newest does not wait")
	}
	room.Keep("small", make([]explain.Explanation, 1), now)
	if len(room.Of("small", now)) != 1 {
		t.Error("a small one does not wait")
	}
}
