package records

import (
	"slices"
	"strings"
	"time"
)

// thread is a conversation: the patient writes first, then by turns.
type thread struct {
	topic string
	needs string // an illness, "pupil", "" for any grown person
	lines []string
}

// threads are conversations of patients with their care team. {doctor} and
// {name} are filled in; for a child the parent writes.
var threads = []thread{
	{"Question about my lab results", "", []string{
		"Good morning, I saw my new lab results in the portal. Some values are marked high. Should I be worried?",
		"Hello {name}, thank you for writing. {doctor} has looked at the results: nothing needs to be done before your next visit. We will go through them together then.",
		"That is good to hear, thank you.",
	}},
	{"Refill request", "hypertension", []string{
		"Could you please send a refill of my blood pressure tablets to the Ironwood Pharmacy? I have about a week left.",
		"The refill has been sent. It should be ready tomorrow after 2 pm.",
		"Perfect, thanks a lot.",
		"You are welcome. Please remember to note your blood pressure twice a week and bring the list.",
	}},
	{"Morning glucose readings", "diabetes", []string{
		"My readings before breakfast this week were 148, 139, 151, 144 and 136. Is that all right?",
		"Hello {name}, they are a little above the target of 130, but better than last month. Please keep taking metformin with the evening meal and send us next week's values.",
		"I will. I also started walking after dinner.",
		"Excellent. That alone can bring the morning values down. Keep it up!",
	}},
	{"Inhaler at school", "asthma", []string{
		"The school asks for a note so that the inhaler may be used there. Can you write one?",
		"Of course. The asthma action plan and the school form are now among the documents in the portal.",
		"Found it, thank you!",
	}},
	{"Rescheduling my appointment", "", []string{
		"I cannot come at the time of my next appointment. Is there anything later in that week?",
		"Yes, there are free times on Thursday afternoon. You can move the appointment yourself in the portal, or tell us which time suits you.",
	}},
	{"Swelling of the ankles", "heartfailure", []string{
		"My ankles are more swollen in the evening since the weekend, and I have gained three pounds.",
		"Thank you for telling us, {name}. {doctor} would like you to take a second furosemide tablet at noon for three days and to weigh yourself every morning. Please call at once if breathing gets harder.",
		"Understood. The weight is down by two pounds today.",
		"Very good. Go back to one tablet a day from tomorrow on. We will see you next week.",
	}},
	{"Form for school sports", "pupil", []string{
		"Hello, we need the sports physical form signed. Is a visit necessary?",
		"The last check-up was less than a year ago, so the form can be signed without a visit. You will find it in the portal tomorrow.",
	}},
	{"Nausea in the morning", "pregnant", []string{
		"I feel sick nearly every morning. Is there something that is safe to take?",
		"That is very common. Try small meals, ginger and vitamin B6. If you cannot keep fluids down for a day, please call us.",
		"The ginger helps a little. Thank you!",
	}},
	{"Side effect of a new medicine", "", []string{
		"Since I started the new medicine I feel dizzy when I stand up. Is that normal?",
		"That can happen in the first two weeks. Please stand up slowly and drink enough. If it is not better by Friday, write again and we will change the dose.",
		"It is already better today.",
	}},
}

func (r *record) fits(t thread) bool {
	pupil := r.minor() && r.age(r.end().AddDate(-1, 0, 0)) >= 6
	switch t.needs {
	case "":
		return !r.minor()
	case "pupil":
		return pupil
	case "pregnant":
		return r.pregnant
	}
	_, ill := r.has(t.needs, r.end())
	return ill && (pupil || t.needs != "asthma") // that one is about the inhaler at school
}

// messages writes the conversations of the last year and a reminder of the team.
func (r *record) messages() {
	d := r.dice("messages")
	var fitting []thread
	for _, t := range threads {
		if r.fits(t) {
			fitting = append(fitting, t)
		}
	}
	n := d.between(0, 2)
	if r.index < blockSize {
		n = 3
	}
	d.Shuffle(len(fitting), func(i, j int) { fitting[i], fitting[j] = fitting[j], fitting[i] })
	fitting = fitting[:min(n, len(fitting))]
	slices.SortStableFunc(fitting, func(a, b thread) int { return strings.Compare(a.topic, b.topic) })
	for i, t := range fitting {
		day := r.end().AddDate(0, 0, -d.between(4, 60)-110*(len(fitting)-1-i))
		if day.After(r.since) {
			r.conversation(d, t, weekday(day))
		}
	}
	r.reminder()
}

const (
	communicationCategory = terminology + "communication-category"
	participationMode     = terminology + "v3-ParticipationMode"
)

func (r *record) conversation(d dice, t thread, day time.Time) {
	writer := r.ref()
	if r.minor() {
		writer = r.kinRef(0)
	}
	sent := day.Add(time.Duration(d.between(7*60, 11*60)) * time.Minute)
	previous := ""
	for i, line := range t.lines {
		if !sent.Before(r.end()) {
			return
		}
		sender, recipient, kind := writer, r.doctor().ref(), code{communicationCategory, "notification", "Notification"}
		if i%2 == 1 {
			sender, recipient, kind = recipient, sender, code{communicationCategory, "instruction", "Instruction"}
		}
		text := strings.NewReplacer("{name}", strings.Fields(writer.display)[0], "{doctor}", "Dr. "+r.doctor().family).Replace(line)
		previous = r.message(message{sender, recipient, kind, t.topic, text, previous, sent})
		sent = sent.Add(time.Duration(d.between(25, 200)) * time.Minute)
	}
}

type message struct {
	sender, recipient reference
	kind              code
	topic, text       string
	answers           string // id of the message before
	sent              time.Time
}

func (r *record) message(m message) string {
	id := r.chart.id("msg")
	r.add(entry{typ: "Communication", id: id, at: m.sent, author: m.sender}, obj{
		{"identifier", list{identifier(own+"message", id)}},
		{"inResponseTo", refs("Communication", nonEmpty(m.answers)...)},
		{"status", "completed"},
		{"category", list{m.kind.concept()}},
		{"priority", "routine"},
		{"medium", list{code{participationMode, "ONLINEWRIT", "online written"}.concept()}},
		{"subject", r.ref().json()},
		{"topic", concept(m.topic)},
		{"sent", dateTime(m.sent)},
		{"received", dateTime(m.sent.Add(time.Minute))},
		{"recipient", list{m.recipient.json()}},
		{"sender", m.sender.json()},
		{"payload", list{obj{{"contentString", m.text}}}},
	})
	return id
}

// reminder is a request to the team to remind the patient of a vaccination.
func (r *record) reminder() {
	if !r.died.IsZero() || r.index%3 != 0 {
		return
	}
	at := r.world.today.AddDate(0, 0, -3).Add(9 * time.Hour)
	if at.Before(r.since) {
		return
	}
	r.add(entry{typ: "CommunicationRequest", id: r.chart.id("remind"), at: at, author: r.doctor().ref()}, obj{
		{"status", "active"},
		{"category", list{code{communicationCategory, "reminder", "Reminder"}.concept()}},
		{"priority", "routine"},
		{"subject", r.ref().json()},
		{"payload", list{obj{{"contentString", "It is time for the yearly influenza vaccination."}}}},
		{"occurrenceDateTime", date(r.world.coming[2])},
		{"authoredOn", dateTime(at)},
		{"requester", r.doctor().ref().json()},
		{"recipient", list{r.ref().json()}},
		{"sender", healthSystem.json()},
	})
}
