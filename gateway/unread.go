package gateway

import (
	"encoding/base64"
	"errors"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/httpfile"
)

// maxWrapped is the largest file that is put into a Binary, in memory.
const maxWrapped = maxResource / 4 * 3 / 2

// unreadBinary is for upstreams that give a Binary as it is whatever they are
// asked for. When it is wanted so, openAsBinary goes on; when it is wanted as
// FHIR, it is written as a Binary and judged like any other.
func (g *Gateway) unreadBinary(x *exchange, id string, found item, yield func(item, error) bool) bool {
	x.unread = true
	if x.file != nil || x.src.Files == nil {
		return true
	}
	// First whether it may leave at all: a missing one is not opened either.
	if may, err := g.proveReach(x, "Binary", id); err != nil {
		return yield(item{}, err)
	} else if !may {
		return true
	}
	raw, err := x.wrapBinary(id)
	if err != nil {
		x.log.Fail(err) // for the operator; to the app it is not there
		return true
	}
	found.Resource, found.Err = fhir.ParseResource(raw)
	return yield(found, nil)
}

func (x *exchange) wrapBinary(id string) ([]byte, error) {
	got, err := x.trace.Opened(func() (*upstream.File, error) {
		return x.src.Files.Open(x.ctx, x.src.Base.String()+"/Binary/"+id, upstream.FileRequest{})
	})
	if err != nil {
		return nil, err
	}
	media := httpfile.Media(got.ContentType)
	if isFHIR(media) || media == "text/html" || got.Length > maxWrapped {
		_ = got.Body.Close()
		return nil, errors.New("gateway: a Binary that cannot be given as FHIR")
	}
	data, err := readWhole(got.Body)
	if err != nil {
		return nil, err
	}
	if len(data) > maxWrapped {
		return nil, errors.New("gateway: a Binary that is too large to be given as FHIR")
	}
	out := []byte(`{"resourceType":"Binary","id":"` + id + `","contentType":`)
	out = append(appendQuoted(out, media), `,"data":"`...)
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, `"}`...), nil
}
