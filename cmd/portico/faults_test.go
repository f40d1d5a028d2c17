package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/portico-fhir/portico/internal/services"
)

// two are the people of every load, each the other's stranger.
func (c *cluster) two(t *testing.T) []*patientReader {
	t.Helper()
	a, b := c.connect(t, 0, "alice"), c.connect(t, 1, "walter")
	return []*patientReader{c.expect(t, a, b.Patient), c.expect(t, b, a.Patient)}
}

func TestFaultsOfTheEHRAreNeverWrongAnswers(t *testing.T) {
	c, _, _ := newPostgresCluster(t)
	who := c.two(t)
	for _, mode := range []string{"hanging", "500", "429", "HTML", "truncated JSON", "wrong Content-Length", "slow drip", "killed"} {
		t.Run(mode, func(t *testing.T) {
			l := startLoadAt(&load{refused: map[int]int64{}}, who, c.fhir(0), c.fhir(1))
			l.more(t, 40)
			before := l.now()
			if mode == "killed" {
				_ = c.ehr.end(syscall.SIGKILL)
			} else {
				c.be(mode)
			}
			l.more(t, map[bool]int64{true: 60, false: 12}[mode != "slow drip" && mode != "hanging"])
			during := l.now()
			if mode == "killed" {
				c.ehr.start()
			} else {
				c.be("")
			}
			took := c.recovered(t, who, c.fhir(0), c.fhir(1))
			l.stop(t, "EHR "+mode, took)
			if before.Good == 0 || before.Wrong > 0 {
				t.Errorf("before the fault: %+v", before)
			}
			if during.Refused+during.Lost == 0 {
				t.Error("the fault was not noticed by anybody")
			}
		})
	}
}

func TestTokensGoOnWhileTheProviderIsDown(t *testing.T) {
	c, _, _ := newPostgresCluster(t)
	who := c.two(t)
	l := startLoad(who, c.fhir(0), c.fhir(1))
	_ = c.idp.end(syscall.SIGKILL)
	l.more(t, 200)
	next := c.refresh(t, 0, who[0].Refresh)
	if next.Status != http.StatusOK {
		t.Errorf("a refresh while the provider is down: %+v", next)
	}
	f := l.stop(t, "identity provider killed", 0)
	if f.Refused+f.Closed+f.Lost > 0 {
		t.Errorf("%+v", f)
	}
	c.idp.start()
	took := eventually(t, "sign-in", func() error {
		status, body := c.begin(t)
		if status != http.StatusOK || !strings.Contains(body, "password") {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	t.Logf("people can sign in again after %v", took)
	c.connect(t, 0, "walter")
}

// auditedRequests gives the request ids of all events, and fails on a gap.
func auditedRequests(t *testing.T, driver, at string) map[string]bool {
	t.Helper()
	db, err := sql.Open(driver, at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query(`SELECT seq, request_id FROM audit_events ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	out := map[string]bool{}
	for n := int64(1); found.Next(); n++ {
		var seq int64
		var id string
		if err := found.Scan(&seq, &id); err != nil {
			t.Fatal(err)
		}
		if seq != n {
			t.Fatalf("event %d has the number %d", n, seq)
		}
		out[id] = true
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// checkAudited wants an event for every answer that arrived.
func (l *load) checkAudited(t *testing.T, audited map[string]bool) {
	t.Helper()
	missing := 0
	for _, id := range l.answered() {
		if !audited[id] {
			missing++
		}
	}
	t.Logf("%d answers arrived, %d of them are not in the audit", len(l.answered()), missing)
	if missing > 0 || len(l.answered()) == 0 {
		t.Errorf("%d of %d answers are not in the audit", missing, len(l.answered()))
	}
}

func TestAReplicaThatIsKilledUnderLoadLosesNothingThatWasAcknowledged(t *testing.T) {
	c, _, at := newPostgresCluster(t)
	who := c.two(t)
	one, other := startLoad(who, c.fhir(0)), startLoad(who, c.fhir(1))
	for range 2 {
		one.more(t, 150)
		_ = c.each[0].end(syscall.SIGKILL)
		other.more(t, 100)
		c.each[0].start()
	}
	took := c.recovered(t, who, c.fhir(0), c.fhir(1))
	one.stop(t, "replica killed twice, seen at it", took)
	if f := other.stop(t, "replica killed twice, seen at the other", 0); f.Refused+f.Closed+f.Lost > 0 {
		t.Errorf("the other replica did not go on: %+v", f)
	}
	audited := auditedRequests(t, "pgx", at)
	one.checkAudited(t, audited)
	other.checkAudited(t, audited)
}

func TestAReplicaThatIsToldToEndCutsNothingOff(t *testing.T) {
	c, _, at := newPostgresCluster(t)
	who := c.two(t)
	one, other := startLoad(who, c.fhir(0)), startLoad(who, c.fhir(1))
	one.more(t, 200)
	if err := c.each[0].end(syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v\n%s", err, c.each[0].log.String())
	}
	other.more(t, 50)
	c.each[0].start()
	took := c.recovered(t, who, c.fhir(0))
	if f := one.stop(t, "SIGTERM, seen at the replica", took); f.Lost > 0 || f.Closed == 0 {
		t.Errorf("%d requests were taken and not answered", f.Lost)
	}
	if f := other.stop(t, "SIGTERM, seen at the other", 0); f.Refused+f.Closed+f.Lost > 0 {
		t.Errorf("the other replica did not go on: %+v", f)
	}
	one.checkAudited(t, auditedRequests(t, "pgx", at))
}

func TestPostgreSQLIsKilledUnderLoad(t *testing.T) {
	c, p, at := newPostgresCluster(t)
	who := c.two(t)
	l := startLoad(who, c.fhir(0), c.fhir(1))
	l.more(t, 100)
	p.Kill(t)
	l.more(t, 100)
	if f := l.now(); f.Refused == 0 {
		t.Error("nobody noticed")
	}
	if status, body := fetch(t, c.each[0].url()+"/readyz", ""); status != http.StatusServiceUnavailable || body != "not ready\nfailed store: down\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	p.Start(t)
	took := c.recovered(t, who, c.fhir(0), c.fhir(1))
	l.more(t, 50)
	l.stop(t, "PostgreSQL killed and restarted", took)
	l.checkAudited(t, auditedRequests(t, "pgx", at))
}

func TestRedisIsKilledUnderLoad(t *testing.T) {
	r := services.StartRedis(t)
	c, _, at := newPostgresCluster(t, withRedis(r))
	who := c.two(t)
	over := c.connect(t, 0, "walter")
	l := startLoad(who, c.fhir(0), c.fhir(1))
	l.more(t, 200)
	r.Kill(t)
	l.more(t, 200)
	if got := c.post(t, 0, "/oauth/revoke", url.Values{"client_id": {"my-app"}, "token": {over.Access}}); got.Status != http.StatusOK {
		t.Errorf("a revocation without Redis: %+v", got)
	}
	if s := c.status(t, 1, over); s != http.StatusUnauthorized {
		t.Errorf("a token that was revoked at the other: %d", s)
	}
	r.Start(t)
	took := c.recovered(t, who, c.fhir(0), c.fhir(1))
	l.more(t, 100)
	if f := l.stop(t, "Redis killed and restarted", took); f.Refused+f.Closed+f.Lost > 0 {
		t.Errorf("a request failed for want of Redis: %+v", f)
	}
	l.checkAudited(t, auditedRequests(t, "pgx", at))
}
