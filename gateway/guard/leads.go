package guard

import (
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// authors are the elements that say whose words the types are that lead to files.
var authors = map[string]string{"DocumentReference": "author", "DiagnosticReport": "performer", "Media": "operator", "Communication": "sender"}

// Leads says whether a resource of the patient's own may lead to a file. What
// patients or their relatives have written leads nowhere: else they could write
// themselves a way to any file of the EHR. A message must say who sent it.
func (w Who) Leads(r *fhir.Resource) bool {
	element, leads := authors[r.Type()]
	said := r.Type() != "Communication"
	for ref := range r.Root().At(element) {
		words := ref.Get("reference").Text() + " " + ref.Get("type").Text()
		to := w.Base.Resolve(ref.Get("reference").Text())
		inside := to.Where == fhir.Contained || to.Where == fhir.Unusable && words != " "
		leads = leads && !inside && !strings.Contains(words, "Patient") && !strings.Contains(words, "RelatedPerson")
		said = said || to.Where == fhir.Local
	}
	return leads && said
}
