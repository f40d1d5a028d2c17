package records

import "time"

// questionnaires writes the forms that the screenings answer.
func (c *chart) questionnaires(at time.Time) {
	for _, q := range forms {
		items := make([]any, 0, len(q.items))
		for i, it := range q.items {
			options := make(list, 0, len(it.answers))
			for _, a := range it.answers {
				options = append(options, obj{{"valueCoding", a.coding()}})
			}
			item := obj{
				{"linkId", it.link()}, {"code", list{it.code.coding()}}, {"text", it.code.display},
				{"type", "choice"}, {"required", false}, {"answerOption", options},
			}
			if i == len(q.items)-1 {
				item = append(item, field{"item", list{obj{{"linkId", it.comment()}, {"text", "Comment"}, {"type", "string"}}}})
			}
			items = append(items, item)
		}
		last := len(items) - 1
		c.add(entry{typ: "Questionnaire", id: q.id, at: at}, obj{
			{"url", own + "Questionnaire/" + q.id},
			{"version", "1.0.0"},
			{"name", q.name},
			{"title", q.code.display},
			{"status", "active"},
			{"subjectType", list{"Patient"}},
			{"date", date(at)},
			{"publisher", healthSystem.display},
			{"code", list{q.code.coding()}},
			{"item", list{
				obj{{"linkId", q.group()}, {"text", q.code.display}, {"type", "group"}, {"item", list(items[:last])}},
				items[last],
			}},
		})
	}
}

// form is a screening questionnaire of LOINC.
type form struct {
	id, name string
	code     code
	category code // of the observations made from it
	items    []question
}

type question struct {
	code    code
	answers []code // from harmless to grave
}

// A form is a group of all questions but the last, and the last, which leaves
// room for a comment.
func (q form) group() string { return "/" + q.code.value }

func (x question) link() string { return "/" + x.code.value }

func (x question) comment() string { return x.link() + "/comment" }

func answer(value, display string) code { return code{loinc, value, display} }

var foodAnswers = []code{answer("LA28398-8", "Never true"), answer("LA6729-3", "Sometimes true"), answer("LA28397-0", "Often true")}

var moodAnswers = []code{answer("LA6568-5", "Not at all"), answer("LA6569-3", "Several days"), answer("LA6570-1", "More than half the days"), answer("LA6571-9", "Nearly every day")}

var forms = []form{
	{"hunger-vital-sign", "HungerVitalSign", loincCode("88121-9", "Hunger Vital Sign [HVS]"), social, []question{
		{loincCode("88122-7", "(I/We) worried whether (my/our) food would run out before (I/we) got money to buy more."), foodAnswers},
		{loincCode("88123-5", "The food that (I/we) bought just didn't last, and (I/we) didn't have money to get more."), foodAnswers},
		{loincCode("88124-3", "Food insecurity risk [HVS]"), []code{answer("LA19983-8", "No risk"), answer("LA19952-3", "At risk")}},
	}},
	{"phq-2", "PHQ2", loincCode("55757-9", "Patient Health Questionnaire 2 item (PHQ-2) [Reported]"), code{usCategory, "disability-status", "Disability Status"}, []question{
		{loincCode("44250-9", "Little interest or pleasure in doing things in last 2 weeks"), moodAnswers},
		{loincCode("44255-8", "Feeling down, depressed, or hopeless in last 2 weeks"), moodAnswers},
	}},
}
