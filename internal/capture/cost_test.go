package capture

import (
	"strings"
	"testing"
)

// BenchmarkRedact is the cost of redacting one document of usual size.
func BenchmarkRedact(b *testing.B) {
	doc := []byte(strings.Repeat(planted["/redfish/v1/Managers/1/LogServices/Sel/Entries"], 50))
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		l := newLedger(make([]byte, 32))
		l.collect(doc)
		l.settle()
		l.rewrite(newSecrets([]string{"hunter2-Pass"}).json(doc))
	}
}
