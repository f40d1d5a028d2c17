package ehr

// arena keeps byte strings back to back in large blocks, so that millions of
// resources cost the garbage collector nothing. Bytes are never changed or
// freed once written: what get returned stays good for ever.
type arena struct {
	blocks [][]byte
}

const (
	firstBlock = 64 << 10
	fullBlock  = 8 << 20
)

// span is a place in an arena.
type span struct {
	block, offset, size uint32
}

// put copies b and gives its place.
func (a *arena) put(b []byte) span {
	last := len(a.blocks) - 1
	if last < 0 || cap(a.blocks[last])-len(a.blocks[last]) < len(b) {
		size := min(firstBlock<<min(len(a.blocks), 16), fullBlock)
		a.blocks = append(a.blocks, make([]byte, 0, max(size, len(b))))
		last++
	}
	offset := len(a.blocks[last])
	a.blocks[last] = append(a.blocks[last], b...)
	//nolint:gosec // a block is at most 8 MiB or one document, whose size the parser bounds to 1 GiB
	return span{block: uint32(last), offset: uint32(offset), size: uint32(len(b))}
}

// get gives the bytes at a place; read only.
func (a *arena) get(s span) []byte {
	end := s.offset + s.size
	return a.blocks[s.block][s.offset:end:end]
}
