package quirks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/gateway/upstream/upstreamtest"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/racing"
	"github.com/portico-fhir/portico/internal/reqctx"
)

const byList = "search: {how: list}"

// dated gives Observations of so many bytes each, later ones first.
func dated(n, bytes int) string {
	var all []string
	for i := range n {
		day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n-i).Format(time.DateOnly)
		all = append(all, observation(fmt.Sprintf("o%04d", n-i), `,"effectiveDateTime":"`+day+`","note":[{"text":"`+strings.Repeat("x", bytes)+`"}]`))
	}
	return searchset(all...)
}

// Sixty searches gather 400 kB each at the same time, and all together may hold
// 4 MiB: those that find no room are told so, at once, and the others are whole.
func TestSearchesThatGatherTheirResultsShareOneRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := dated(100, 4<<10)
		up := &scripted{after: time.Second, answer: func(context.Context, string) (string, error) { return body, nil }}
		room := quirks.NewRoom(4 << 20)
		sources := []*quirks.Reader{over(t, up, byList, room), over(t, up, byList, room)}
		held := make(chan struct{})
		var all sync.WaitGroup
		var mu sync.Mutex
		whole, refused := 0, 0
		for i := range 60 {
			all.Go(func() {
				answer, err := sources[i%2].Search(t.Context(), "Observation", "patient=a&_sort=date")
				if err == nil {
					<-held // half of it is read; what was gathered is held
					_ = answer.Body.Close()
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					whole++
				case fault.KindOf(err) == fault.Unavailable && errors.Is(err, upstream.ErrCostly) && fault.RetryAfterOf(err) > 0:
					refused++
				default:
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		close(held)
		all.Wait()
		if whole < 5 || whole > 10 || refused != 60-whole {
			t.Errorf("%d are whole, %d refused", whole, refused)
		}
		// Afterwards there is room again for as many, and for none more.
		for range 20 {
			if names, err := firstPage(t, sources[0], "Observation", "patient=a&_sort=date"); err != nil || len(names) != 100 {
				t.Fatalf("%d %v", len(names), err)
			}
		}
		if _, _, unclosed := up.counts(); unclosed != 0 {
			t.Errorf("%d bodies left open", unclosed)
		}
	})
}

// An app that reads slowly what was gathered for it leaves room for the others, and
// gets all of its own back.
func TestOneAppDoesNotTakeTheWholeRoom(t *testing.T) {
	body := dated(100, 4<<10)
	up := &scripted{answer: func(context.Context, string) (string, error) { return body, nil }}
	r := over(t, up, byList, quirks.NewRoom(4<<20))
	ask := func(party string) (*upstream.Answer, error) {
		return r.Search(reqctx.WithParty(t.Context(), party), "Observation", "patient=a&_sort=date")
	}
	for range 2 {
		var slow []*upstream.Answer
		for range 60 {
			if answer, err := ask("slow"); err == nil {
				slow = append(slow, answer)
			} else if !errors.Is(err, upstream.ErrCostly) {
				t.Fatal(err)
			}
		}
		if len(slow) < 4 {
			t.Errorf("it has room for %d alone", len(slow))
		}
		answer, err := ask("another")
		if err != nil {
			t.Fatalf("another app is refused: %v", err)
		}
		for _, one := range append(slow, answer) {
			_ = one.Body.Close()
		}
	}
}

// A page holds what is on it, not all that there is.
func TestAPageInOrderNeedsRoomForItselfAlone(t *testing.T) {
	body := dated(600, 4<<10) // 2.4 MB
	up := &scripted{answer: func(context.Context, string) (string, error) { return body, nil }}
	r := over(t, up, byList, quirks.NewRoom(1<<20))
	for _, sort := range []string{"date", "-date"} {
		got, err := upstreamtest.All(t.Context(), through3(t, r), "Observation", "patient=a&_count=20&_sort="+sort)
		want := make([]string, 0, 60)
		for i := range 60 {
			n := i + 1
			if sort == "-date" {
				n = 600 - i
			}
			want = append(want, fmt.Sprintf("Observation/o%04d", n))
		}
		if err != nil || !slices.Equal(got.Matches, want) {
			t.Errorf("%s: %v %v", sort, err, got.Matches)
		}
	}
	if _, err := r.Search(t.Context(), "Observation", "patient=a&_count=400&_sort=date"); !errors.Is(err, upstream.ErrCostly) {
		t.Errorf("a page larger than the room: %v", err)
	}
}

// through3 gives three pages of a search and no more.
func through3(t *testing.T, r upstream.Reader) upstream.Reader {
	t.Helper()
	return &some{Reader: r, left: 2}
}

type some struct {
	upstream.Reader
	left int
}

func (s *some) Next(ctx context.Context, link string) (*upstream.Answer, error) {
	if s.left--; s.left < 0 {
		s.left = 2
		return (&scripted{answer: func(context.Context, string) (string, error) { return searchset(), nil }}).Next(ctx, link)
	}
	return s.Reader.Next(ctx, link)
}

func TestMoreThanCanBePutInOrderIsTooCostly(t *testing.T) {
	small := dated(5001, 1)
	large := dated(300, 300<<10) // 88 MiB
	for name, tt := range map[string]struct {
		body, query string
		want        bool
	}{
		"too many":                       {small, "patient=a&_sort=date&_count=10", false},
		"too many bytes for a page":      {large, "patient=a&_sort=date&_count=300", false},
		"as many bytes, but small pages": {large, "patient=a&_sort=date&_count=20", true},
	} {
		if racing.On && name != "too many" {
			continue
		}
		up := &scripted{answer: func(context.Context, string) (string, error) { return tt.body, nil }}
		_, err := firstPage(t, over(t, up, byList, nil), "Observation", tt.query)
		if tt.want && err != nil || !tt.want && (!errors.Is(err, upstream.ErrCostly) || fault.KindOf(err) != fault.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
