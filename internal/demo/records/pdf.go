package records

import (
	"bytes"
	"fmt"
	"strings"
)

// pdf writes a page of text as a small but complete PDF 1.4 document.
func pdf(title string, lines []string) []byte {
	var page strings.Builder
	fmt.Fprintf(&page, "BT /F1 14 Tf 56 780 Td (%s) Tj /F1 10 Tf 0 -26 Td 14 TL\n", escapePDF(title))
	for _, line := range lines {
		fmt.Fprintf(&page, "(%s) Tj T*\n", escapePDF(line))
	}
	page.WriteString("ET")
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", page.Len(), page.String()),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
	}
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = out.Len()
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&out, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return out.Bytes()
}

// escapePDF writes a string literal in WinAnsi; what that cannot say becomes "?".
func escapePDF(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '(' || c == ')' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < 0x20 || c > 0xff:
			b.WriteByte('?')
		case c >= 0x80:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
