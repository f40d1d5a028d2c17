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
	Name    string // of the form field
	Value   string
	Label   string
	Hint    string
	May     string // "" when the whole page is about looking only
	Write   bool
	Checked bool
	Count   string // "" when not known
	Parts   []line // sub-categories
}

// section is one fieldset.
type section struct {
	Title string
	Icon  string
	Lines []line
}

// end is one choice of when access ends.
type end struct {
	Value, Text string
	Selected    bool
}

// consentPage is what templates/consent.html draws.
type consentPage struct {
	frame
	Action, CSRF           string
	App, AppOwner, AppSite string
	Source, Patient        string
	Self                   bool
	Clinician              bool // who opens the record from the EHR
	For, Until, UntilISO   string
	OpenEnded              bool // no end is fixed yet
	Ends                   []end
	Everything             bool // the app asks for the whole record
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
		Clinician:     strings.HasPrefix(v.Patient.FHIRUser, "Practitioner/"),
		NothingChosen: v.NothingChosen,
	}
	title := "Share a record with " + d.App + "? – " + d.Source
	if v.NothingChosen {
		title = "Error: " + title
	}
	d.frame = p.frame(title, d.Source, plain(v.Person))
	d.SignOut = ownPath(v.SignOut)
	d.lasts(v, p.now())
	d.fill(v.Scopes, !v.NothingChosen)
	for _, text := range v.Asked {
		d.Asked = append(d.Asked, plainLong(text))
	}
	return p.draw(w, "consent", http.StatusOK, target, d)
}

// openEnd is what access without a fixed end is called.
const openEnd = "When you stop it"

// lasts says when access ends, and what there is to choose.
func (d *consentPage) lasts(v authz.ConsentView, now time.Time) {
	d.OpenEnded = len(v.Ends) > 0 || v.Until.IsZero()
	switch {
	case len(v.Ends) > 0:
		d.For = "You choose, below"
	case v.Until.IsZero():
		d.For = openEnd
	default:
		until := v.Until.UTC()
		d.For = lasting(until.Sub(now))
		// People do not count in UTC, and where they are is not known here: the day
		// says enough about something long, and would mislead about hours.
		if until.Sub(now) >= 48*time.Hour {
			d.Until = until.Format("2 January 2006")
		}
		d.UntilISO = until.Format(time.RFC3339)
	}
	for i, e := range v.Ends {
		one := end{Value: e.Value, Text: openEnd, Selected: i == len(v.Ends)-1}
		if !e.At.IsZero() {
			one.Text = lasting(e.At.Sub(now)) + " (" + e.At.UTC().Format("2 January 2006") + ")"
		}
		d.Ends = append(d.Ends, one)
	}
}

// fill sorts the scopes into boxes by group and into what comes with any yes.
func (d *consentPage) fill(scopes []authz.ScopeView, checked bool) {
	byGroup := map[string][]line{}
	said := map[string]bool{}
	for i, s := range scopes {
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
		one := line{
			ID: "scope-" + strconv.Itoa(i), Name: "scope", Value: s.Value, Label: words.label, Hint: words.hint,
			Write: s.Write, May: may(s), Checked: checked, Count: counted(s.Count),
		}
		one.open(s)
		byGroup[words.group] = append(byGroup[words.group], one)
		d.Everything = d.Everything || s.Rest
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

// open adds the sub-categories. They start ticked, so that unticking takes away
// here as everywhere on the page.
func (l *line) open(s authz.ScopeView) {
	for i, part := range s.Parts {
		words := wording(authz.ScopeView{Value: part.Value, Type: s.Type})
		l.Parts = append(l.Parts, line{
			ID: l.ID + "-" + strconv.Itoa(i), Name: "part", Value: part.Value, Label: words.label, Hint: words.hint,
			Checked: true, Count: counted(part.Count),
		})
	}
}

// counted says how much of a kind there is.
func counted(c authz.Count) string {
	switch {
	case !c.Known:
		return ""
	case c.N == 0:
		return "Nothing there now."
	case c.N == 1:
		return "1 entry."
	default:
		return strconv.Itoa(c.N) + " entries."
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
	if s.Rest {
		return words{"other", "Everything else", "All kinds that are not named above, and, as long as you untick nothing, kinds that are added to the record later."}
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
