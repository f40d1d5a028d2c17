package gateway

import (
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/locate"
)

// masked stands in place of a Reference to another patient: the element stays
// valid and says why it is empty (R4, extension data-absent-reason).
const masked = `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}`

// maskedURI stands in place of a URI that leads to another patient.
const maskedURI = `"http://terminology.hl7.org/CodeSystem/data-absent-reason#masked"`

// maskedText stands in place of the narrative of a resource in which somebody
// is masked (R4 narrative, section 2.4.0: a div must say something).
const maskedText = `{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Not shown: this text may name other people.</div>"}`

// piece is a resource ready to leave.
type piece struct {
	typ, id string
	bytes   []byte
	version string
	updated string
	match   bool
	change  change
	sealed  bool // holds handles, which change while the version does not
}

// rewrite is step 7. The only bytes that change are masked references, the
// listed places where a URL lies on the upstream's base, and what the app does
// not want to have; everything else leaves exactly as it came.
func (g *Gateway) rewrite(x *exchange, in iter.Seq2[kept, error]) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		for one, err := range in {
			if err != nil {
				yield(piece{}, err)
				return
			}
			if one.change.gone {
				x.counts.released++
				if !yield(one.tombstone(x), nil) {
					return
				}
				continue
			}
			r := one.resource
			var edits []fhir.Edit
			for _, place := range one.mask {
				start, end := place.Span()
				with := masked
				switch {
				case place == r.Root().Get("text"):
					with = maskedText
				case place.IsString():
					with = maskedURI
				}
				edits = append(edits, fhir.Edit{Start: start, End: end, With: []byte(with)})
			}
			if len(one.mask) > 0 {
				x.counts.masked++
			}
			located, sealed := g.relocate(x, r)
			edits = append(edits, located...) // after the masks, which count for more at the same place
			edits = append(edits, x.viewOf(one.match).Edits(r)...)
			x.counts.released++
			out := piece{
				typ: r.Type(), id: r.ID(), match: one.match, sealed: sealed, bytes: r.Splice(edits),
				version: r.VersionID(), updated: r.LastUpdated(), change: one.change,
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// relocate finds the URLs on the upstream's base at the listed places and gives
// them our base, and the attachments' a handle. A string elsewhere (an identifier
// system, a narrative) is data and stays, even if it looks like one.
func (g *Gateway) relocate(x *exchange, r *fhir.Resource) (edits []fhir.Edit, sealed bool) {
	locate.URLs(r, func(n, attachment fhir.Node) {
		ours, changes := "", false
		if attachment.Exists() {
			var handle bool
			ours, handle = g.attachmentURL(x, n.Text())
			changes, sealed = ours != "", sealed || handle
		} else {
			ours, changes = x.src.ourURL(n.Text())
		}
		if !changes {
			return
		}
		to, err := jsontext.AppendQuote(nil, ours)
		if err != nil { // cannot happen: both parts come from valid strings
			return
		}
		start, end := n.Span()
		edits = append(edits, fhir.Edit{Start: start, End: end, With: to})
	})
	return edits, sealed
}

// attachmentURL gives what leaves in place of an attachment's URL, "" when it
// leaves as it is.
func (g *Gateway) attachmentURL(x *exchange, text string) (ours string, handle bool) {
	switch at := x.src.where.Locate(text); {
	case at.Place == locate.Elsewhere, at.Place == locate.Spoken && at.Relative == text:
		return "", false
	case at.Place == locate.Spoken:
		return x.src.publicBase + "/" + at.Relative, false
	default:
		return g.fileLink(x, at), true
	}
}

// ourURL gives the URL at our base for one on the upstream's, or for that base
// itself, which an Endpoint names.
func (s *source) ourURL(text string) (string, bool) {
	if relative, below := s.Base.Relative(text); below {
		return s.publicBase + "/" + relative, true
	}
	if nothing, is := s.Base.Relative(text + "/"); is && nothing == "" {
		return s.publicBase, true
	}
	return "", false
}
