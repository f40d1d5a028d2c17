package gateway

import (
	"encoding/binary"
	"time"

	"github.com/portico-fhir/portico/gateway/locate"
)

// Attachments leave with the URL of a sealed handle in place of the EHR's. The
// handle says which file and until when, and opens for nobody but the patient
// whose record it stood in. What it does not say is by which right: that is
// proven when it is used (file.go), so that it gives no more than the token
// does then.

// FileSealer makes the handles of files: the same for the same file, since apps
// compare the URLs of attachments.
type FileSealer interface {
	SealSteady(plain []byte, bound string) string
	OpenText(handle, bound string) ([]byte, error)
}

// fileWindow is how long the handle of a file stays the same. It is good until
// the end of the next window: a day at least, two at most.
const fileWindow = 24 * time.Hour

// fileMark begins a handle in a path, Binary/_{handle}: no FHIR id has an
// underscore, and no operation on a type begins like a handle.
const fileMark = "_"

// fileLink seals a locate.Target for the patient of the request.
func (g *Gateway) fileLink(x *exchange, at locate.Target) string {
	end := g.now().Truncate(fileWindow).Add(2 * fileWindow)
	plain := binary.BigEndian.AppendUint64(nil, uint64(max(end.Unix(), 0)))
	switch {
	case at.Relative != "":
		plain = append(append(plain, 'b'), at.Relative...)
	default:
		plain = append(append(plain, 'u'), at.URL...)
	}
	return x.src.publicBase + "/Binary/" + fileMark + g.files.SealSteady(plain, x.fileBound())
}

// fileBound ties a handle to source and patient. Whoever acts for the patient
// may use it, through any app, as far as their token goes.
func (x *exchange) fileBound() string { return "file\x00" + x.src.ID + "\x00" + x.grant.Patient }

// openHandle gives the locate.Target of a handle; ok is false for one of somebody else,
// an old or a changed one, and one whose place is not served any more.
func (g *Gateway) openHandle(x *exchange, handle string) (at locate.Target, ok bool) {
	plain, err := g.files.OpenText(handle, x.fileBound())
	if err != nil || len(plain) < 9 || uint64(max(g.now().Unix(), 0)) >= binary.BigEndian.Uint64(plain) {
		return locate.Target{}, false
	}
	text := string(plain[9:])
	if plain[8] == 'b' {
		text = x.src.Base.String() + "/" + text
	}
	at = x.src.where.Locate(text)
	return at, at.Place == locate.Stored
}
