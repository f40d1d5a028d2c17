package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// line is one box to tick.
type line struct {
	ID      string
	Value   string
	Label   string
	Hint    string
	May     string // "" when the whole page is about looking only
	Write   bool
	Checked bool
}

// section is one fieldset.
type section struct {
	Title string
	Icon  string
	Lines []line
}

// consentPage is what templates/consent.html draws.
type consentPage struct {
	frame
	Action, CSRF           string
	App, AppOwner, AppSite string
	Source, Patient        string
	Self                   bool
	For, Until, UntilISO   string
	NothingChosen, Writes  bool
	FirstBox               string
	Hidden                 []string // scopes that come with a yes
	Always                 []string // what those say, in words
	Groups                 []section
	Asked                  []string
}

// Consent implements authz.Pages.
func (p *Pages) Consent(w http.ResponseWriter, _ *http.Request, v authz.ConsentView) error {
	target, err := formTarget(v.ReturnTo)
	if err != nil {
		return err
	}
	d := consentPage{
		Action: v.Action, CSRF: v.CSRF,
		App: appName(v.App), AppOwner: plain(v.AppOwner), AppSite: site(v.AppURL),
		Source: plain(v.Source), Patient: plain(v.Patient.Label), Self: v.Patient.Self,
		NothingChosen: v.NothingChosen,
	}
	title := "Share a record with " + d.App + "? – " + d.Source
	if v.NothingChosen {
		title = "Error: " + title
	}
	d.frame = p.frame(title, d.Source, plain(v.Person))
	until, now := v.Until.UTC(), p.now()
	d.For = lasting(until.Sub(now))
	// People do not count in UTC, and where they are is not known here: the day
	// says enough about something long, and would mislead about hours.
	if until.Sub(now) >= 48*time.Hour {
		d.Until = until.Format("2 January 2006")
	}
	d.UntilISO = until.Format(time.RFC3339)
	d.fill(v.Scopes, !v.NothingChosen)
	return p.draw(w, "consent", http.StatusOK, target, d)
}

// fill sorts the scopes into boxes by group, into what comes with any yes, and
// into the list for experts.
func (d *consentPage) fill(scopes []authz.ScopeView, checked bool) {
	byGroup := map[string][]line{}
	said := map[string]bool{}
	for i, s := range scopes {
		d.Asked = append(d.Asked, plainLong(s.Value))
		d.Writes = d.Writes || s.Write
		if s.Required {
			d.Hidden = append(d.Hidden, s.Value)
			text := always(s)
			if !said[text] {
				d.Always = append(d.Always, text)
				said[text] = true
			}
			continue
		}
		words := wording(s)
		byGroup[words.group] = append(byGroup[words.group], line{
			ID: "scope-" + strconv.Itoa(i), Value: s.Value, Label: words.label, Hint: words.hint,
			Write: s.Write, May: may(s), Checked: checked,
		})
	}
	for _, g := range groupOrder() {
		lines := byGroup[g.key]
		if len(lines) == 0 {
			continue
		}
		if d.FirstBox == "" {
			d.FirstBox = lines[0].ID
		}
		if !d.Writes { // the page says once that the app can only look
			for i := range lines {
				lines[i].May = ""
			}
		}
		d.Groups = append(d.Groups, section{Title: g.title, Icon: g.icon, Lines: lines})
	}
}

// may says what an app can do with a type.
func may(s authz.ScopeView) string {
	switch {
	case s.Type == "":
		return ""
	case s.Read && s.Write:
		return "see, add or change"
	case s.Write:
		return "add or change"
	default:
		return "see"
	}
}

// always says what a scope that cannot be unticked tells the app.
func always(s authz.ScopeView) string {
	if text, ok := alwaysWords(s.Value); ok {
		return text
	}
	if s.Type != "" {
		w := wording(s)
		return w.label + ": " + w.hint
	}
	return "The app gets “" + plain(s.Value) + "”."
}

// wording finds the words for a scope that can be unticked.
func wording(s authz.ScopeView) words {
	if s.Type == "" {
		if w, ok := stayWords(s.Value); ok {
			return w
		}
		if text, ok := alwaysWords(s.Value); ok {
			return words{"you", text, ""}
		}
		return words{"other", "“" + plain(s.Value) + "”", "The app asks for this by a name that we cannot put into plain words."}
	}
	w, ok := wordsFor(s.Type)
	if !ok {
		w = words{"other", "Information of the kind “" + plain(s.Type) + "”", "We have no plain words for this kind yet."}
	}
	_, filter, granular := strings.Cut(s.Value, "?")
	if !granular {
		return w
	}
	return narrow(s.Type, filter, w)
}

// narrow words a granular scope (SMART App Launch 2.2, "Finer-grained resource
// constraints using search parameters").
func narrow(typ, filter string, whole words) words {
	params, err := url.ParseQuery(filter)
	if err != nil || len(params) == 0 {
		whole.hint = "Only a part: " + plain(filter)
		return whole
	}
	if codes := params["category"]; len(params) == 1 && len(codes) == 1 {
		_, code, hasSystem := strings.Cut(codes[0], "|")
		if !hasSystem {
			code = codes[0]
		}
		if w, ok := narrowed(typ, code); ok {
			return w
		}
	}
	whole.label += ", a part of it"
	whole.hint = "Only entries where " + plain(strings.ReplaceAll(filter, "&", " and ")) + "."
	return whole
}

// lasting says a span of time the way people do.
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return "In less than a minute"
	case d < 58*time.Minute:
		return count(d, time.Minute, "minute")
	case d < 2*day:
		return count(d, time.Hour, "hour")
	case d < 60*day:
		return count(d, day, "day")
	default:
		return count(d, 30*day, "month")
	}
}

func count(d, unit time.Duration, name string) string {
	n := int((d + unit/2) / unit)
	if n != 1 {
		name += "s"
	}
	return fmt.Sprintf("In about %d %s", n, name)
}
