package pages

import (
	"net/http"
	"slices"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

var _ authz.ConnectedPage = (*Pages)(nil)

// connectedApp is one app on the page of connected apps.
type connectedApp struct {
	Grant, App, Owner, Patient string
	Since, Until               string
	Sees, Changes              []string
}

// Connected implements authz.ConnectedPage.
func (p *Pages) Connected(w http.ResponseWriter, _ *http.Request, v authz.ConnectedView) error {
	d := struct {
		frame
		Stop, Source, Which string
		Apps                []connectedApp
		Others              []place
		Stopped             bool
	}{
		frame: p.frame("Your connected apps – "+plain(v.Source), plain(v.Source), plain(v.Person)),
		Stop:  v.Stop, Source: plain(v.Source), Which: v.ID, Stopped: v.Stopped,
	}
	d.SignOut = ownPath(v.SignOut)
	for _, o := range v.Others {
		d.Others = append(d.Others, place{Name: plain(o.Name), Address: ownPath(v.Address(o.ID))})
	}
	for _, a := range v.Apps {
		one := connectedApp{
			Grant: a.Grant, App: appName(a.App), Owner: plain(a.Owner),
			Patient: plain(a.Patient), Since: a.Since.UTC().Format("2 January 2006"), Until: openEnd,
		}
		if !a.Until.IsZero() {
			one.Until = ending(a.Until, p.now())
		}
		for _, s := range a.Scopes {
			label := "The whole record"
			if s.Type != "*" {
				label = wording(s).label
			}
			if (s.Read || !s.Write) && !slices.Contains(one.Sees, label) {
				one.Sees = append(one.Sees, label)
			}
			if s.Write && !slices.Contains(one.Changes, label) {
				one.Changes = append(one.Changes, label)
			}
		}
		d.Apps = append(d.Apps, one)
	}
	return p.draw(w, "connected", http.StatusOK, "", d)
}

// ending says when access ends: what is near as a span, for a day would say
// nothing of it, and its hour would be that of another place.
func ending(until, now time.Time) string {
	if left := until.Sub(now); left < 48*time.Hour {
		return lasting(left)
	}
	return until.UTC().Format("2 January 2006")
}

// place is another health system whose connected apps are on a page of their own.
type place struct{ Name, Address string }
