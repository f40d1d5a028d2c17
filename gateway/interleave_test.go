package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/redisdb"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// What is kept in these stories, and for how long it may be given.
const (
	storyTTL   = time.Minute
	storyStale = 20 * time.Second // while it is fetched again
	storyDown  = 5 * time.Minute  // while the EHR is down
)

// toldWorld is a world of records that change: of each patient at each source a number
// that grows, in every resource. Its EHRs answer everything they have to every
// question.
type toldWorld struct {
	mu      sync.Mutex
	now     func() time.Time
	changes map[string][]time.Time // the n-th is when version n began
	down    bool
}

func (w *toldWorld) change(source, patient string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := source + "/" + patient
	w.changes[key] = append(w.changes[key], w.now())
	return len(w.changes[key])
}

// at gives the version that was there at a time, and the one that is there now.
func (w *toldWorld) at(source, patient string, t time.Time) (then, now int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.changes[source+"/"+patient]
	for then < len(list) && !list[then].After(t) {
		then++
	}
	return then, len(list)
}

func (w *toldWorld) resource(source, kind, patient string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":"%[2]s-%[3]s","category":[{"coding":[{"code":%[2]q}]}],"subject":{"reference":"Patient/%[3]s"},"note":[{"text":"{%[1]s/%[3]s %[2]s v%[4]d}"}]}`,
		source, kind, patient, len(w.changes[source+"/"+patient]))
}

// toldEHR is one source of the world.
type toldEHR struct {
	w      *toldWorld
	source string
}

func (e toldEHR) say(bodies ...string) (*upstream.Answer, error) {
	if e.w.down {
		return nil, fault.New(fault.Unavailable, "down")
	}
	return answerOf(strings.Join(bodies, ""))
}

func (e toldEHR) Read(_ context.Context, typ, id string) (*upstream.Answer, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	kind, patient, _ := strings.Cut(id, "-")
	if typ != "Observation" || !slices.Contains(storyPatients, patient) || !slices.Contains(storyKinds, kind) {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return e.say(e.w.resource(e.source, kind, patient))
}

func (e toldEHR) Search(context.Context, string, string) (*upstream.Answer, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	var entries []string
	for _, p := range storyPatients {
		for _, k := range storyKinds {
			entries = append(entries, `{"resource":`+e.w.resource(e.source, k, p)+`,"search":{"mode":"match"}}`)
		}
	}
	return e.say(`{"resourceType":"Bundle","type":"searchset","entry":[`, strings.Join(entries, ","), `]}`)
}

func (e toldEHR) Next(ctx context.Context, _ string) (*upstream.Answer, error) {
	return e.Search(ctx, "", "")
}

func (e toldEHR) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &upstream.Capabilities{}, nil
}

var (
	storyPatients = []string{"ann", "ann2", "bob"}
	storyKinds    = []string{"laboratory", "survey"}
	toldMark      = regexp.MustCompile(`\{(\w+)/(\w+) (\w+) v(\d+)\}`)
)

// lasting are tokens that do not end: "source/patient@app:scopes".
type lasting struct{}

func (lasting) Authenticate(_ context.Context, bearer string) (token.Grant, token.Access, scope.Set, error) {
	who, scopes, _ := strings.Cut(bearer, ":")
	who, app, _ := strings.Cut(who, "@")
	source, patient, _ := strings.Cut(who, "/")
	set, err := scope.Parse(scopes)
	end := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	return token.Grant{ID: "grant", Client: app, Source: source, Patient: patient, PersonIssuer: "i", PersonSubject: "s", Expires: end}, token.Access{Digest: token.DigestOf(bearer), Expires: end}, set, err
}

// toldReplica is one gateway of those that share Redis.
type toldReplica struct {
	h     *house
	cache *cache.Cache
}

type story struct {
	t        *rapid.T
	w        *toldWorld
	clock    *cachetest.Clock
	replicas []toldReplica
	least    map[string]int // version by the last invalidation that succeeded
}

func (s *story) pick(of []string, name string) string { return rapid.SampledFrom(of).Draw(s.t, name) }

// ask makes one request and holds the answer against what a gateway without a
// cache would have given at some moment that is not too long ago.
func (s *story) ask(r toldReplica, source, patient string) {
	granted := s.pick([]string{"patient/Observation.rs", "patient/Observation.rs?category=laboratory", "patient/Observation.rs?category=survey", "patient/Condition.rs"}, "scopes")
	bearer := source + "/" + patient + "@" + s.pick([]string{"one", "two"}, "app") + ":" + granted
	path := s.pick([]string{"/Observation", "/Observation", "/Observation?category=laboratory", "/Observation/laboratory-" + patient, "/Observation/survey-" + s.pick(storyPatients, "whose")}, "path")
	got := r.h.get(strings.Replace(r.h.base, "/fhir/ehr", "/fhir/"+source, 1)+path, bearer, "Cache-Control", s.pick([]string{"", "", "", "no-cache", "max-age=5", "no-store"}, "control"))
	if events := r.h.sink.take(); len(events) != 1 {
		s.t.Fatalf("%d events for a request", len(events))
	}
	var want []string
	for _, kind := range storyKinds {
		covered := strings.HasSuffix(granted, "Observation.rs") || strings.HasSuffix(granted, "="+kind)
		if covered && (path == "/Observation" || strings.HasSuffix(path, "="+kind) || strings.HasSuffix(path, "/"+kind+"-"+patient)) {
			want = append(want, kind)
		}
	}
	single := !strings.HasPrefix(path, "/Observation?") && path != "/Observation"
	switch {
	case strings.Contains(granted, "Condition"):
		want = nil
		if got.status != http.StatusForbidden {
			s.t.Fatalf("%s %s: %d", bearer, path, got.status)
		}
	case got.status == http.StatusServiceUnavailable && s.w.down:
		want = nil
	case single && len(want) == 0:
		if got.status != http.StatusNotFound {
			s.t.Fatalf("%s %s: %d", bearer, path, got.status)
		}
	case got.status != http.StatusOK:
		s.t.Fatalf("%s %s: %d %s", bearer, path, got.status, got.body)
	}
	s.judge(got, source, patient, want)
}

func (s *story) judge(got reply, source, patient string, want []string) {
	late := storyTTL
	switch {
	case strings.HasPrefix(got.header.Get("Warning"), "110"):
		late += storyStale
	case strings.HasPrefix(got.header.Get("Warning"), "111"):
		late += storyDown
	}
	then, now := s.w.at(source, patient, s.clock.Now().Add(-late))
	then = max(then, s.least[source+"/"+patient])
	var kinds []string
	versions := map[string]bool{}
	for _, m := range toldMark.FindAllStringSubmatch(got.everything(), -1) {
		v, _ := strconv.Atoi(m[4])
		if m[1] != source || m[2] != patient || v < then || v > now {
			s.t.Fatalf("%s of %s got %s; versions %d to %d may be given", patient, source, m[0], then, now)
		}
		kinds, versions[m[4]] = append(kinds, m[3]), true
	}
	if !slices.Equal(kinds, want) || len(versions) > 1 {
		s.t.Fatalf("%s of %s got %v %v, want %v: %d", patient, source, kinds, versions, want, got.status)
	}
}

func (s *story) step(redis func(bool)) {
	source, patient := s.pick([]string{"ehr", "elsewhere"}, "source"), s.pick(storyPatients, "patient")
	r := rapid.SampledFrom(s.replicas).Draw(s.t, "replica")
	switch rapid.IntRange(0, 13).Draw(s.t, "what") {
	case 0: // a change that is told
		v := s.w.change(source, patient)
		if r.cache.Invalidate(context.Background(), source, patient) == nil {
			s.least[source+"/"+patient] = v
		}
	case 1:
		s.w.change(source, patient)
	case 2:
		if r.cache.Invalidate(context.Background(), source, "") == nil {
			for _, p := range storyPatients {
				_, s.least[source+"/"+p] = s.w.at(source, p, s.clock.Now())
			}
		}
	case 3, 4:
		s.clock.Pass(time.Duration(rapid.IntRange(1, 70).Draw(s.t, "seconds")) * time.Second)
	case 5:
		s.w.mu.Lock()
		s.w.down = !s.w.down
		s.w.mu.Unlock()
	case 6:
		redis(rapid.Bool().Draw(s.t, "redis"))
	case 7, 8:
		r.cache.RefreshDue()
		if events := r.h.sink.take(); len(events) != 0 {
			s.t.Fatalf("fetching ahead left %+v", events)
		}
	default:
		s.ask(r, source, patient)
	}
}

// Two replicas with a cache and one Redis, two sources with the same ids, apps
// with different rights: whatever happens in whatever order, each body is what a
// gateway without a cache would have given to the same token a short while ago.
func TestWhatIsGivenIsWhatAnUncachedGatewayWouldHaveGiven(t *testing.T) {
	redisdb.Quiet()
	server := services.StartRedis(t)
	clock := cachetest.NewClock()
	w := &toldWorld{now: clock.Now}
	var replicas []toldReplica
	for range 2 {
		client, err := redisdb.New(redisdb.Options{Addresses: []string{server.Addr}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		kept, err := cache.New(cache.Options{
			Ring: cachetest.Ring(t, "k"), Redis: client, Now: clock.Now, TTL: func(string, string) time.Duration { return storyTTL },
			StaleWhileRevalidate: storyStale, StaleIfError: storyDown,
			Refresh: cache.Refresh{Active: 10 * time.Minute, PerMinute: 1e6, Every: time.Hour},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(kept.Close)
		h := openOver(t, toldEHR{w, "ehr"}, somewhere(t), 0, func(o *gateway.Options) {
			o.Sources = append(o.Sources, gateway.Source{ID: "elsewhere", Base: o.Sources[0].Base, Upstream: toldEHR{w, "elsewhere"}})
			o.Cache, o.Sessions, o.Tokens, o.Now = kept, &present{}, lasting{}, clock.Now
		})
		replicas = append(replicas, toldReplica{h, kept})
	}
	up, flips := true, 0
	rapid.Check(t, func(rt *rapid.T) {
		w.mu.Lock()
		w.changes, w.down = map[string][]time.Time{}, false
		w.mu.Unlock()
		s := &story{t: rt, w: w, clock: clock, replicas: replicas, least: map[string]int{}}
		if !up {
			up = true
			server.Start(t)
		}
		clock.Pass(time.Hour) // nothing of the story before is left
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			s.step(func(want bool) {
				if want == up || up && flips > 6 {
					return
				}
				if flips++; !up {
					server.Start(t)
				} else {
					server.Kill(t)
				}
				up = want
			})
		}
	})
}
