package truth

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"

	"dewline/report"
	"dewline/report/render"
	"dewline/report/verification"
)

// dryWords claim that something is dry, or whole, in the languages of the report.
var dryWords = regexp.MustCompile(`(?i)\b(dry|dried|dryness|no (water|moisture|liquid)|undamaged|moisture-free|kering|dikeringkan|pengeringan|mengering|tidak rusak|tidak (ada )?(cairan|air))\b`)

// allowed are the sentences in which such words stand and claim nothing: what a detector reported from one time to another (whose truth is
// looked at apart), what people attest or do not attest, and the legend of a picture.
var allowed = []*regexp.Regexp{
	regexp.MustCompile(`^reported no liquid from \S+ \S+ to \S+ \S+$`),
	regexp.MustCompile(`^Green: reported no liquid in every visit of the hour$`),
	regexp.MustCompile(`^no liquid reported$`), // the legend of a strip
	regexp.MustCompile(`^tidak ada cairan dilapo(rkan|…)$`),
	regexp.MustCompile(`^nobody attests that (it was|the servers were) dried$`),
	regexp.MustCompile(`^No BMC sees whether a machine was opened, dried or cleaned$`),
	regexp.MustCompile(`^melaporkan tidak ada cairan dari \S+ \S+ sampai \S+ \S+$`),
	regexp.MustCompile(`^Hijau: melaporkan tidak ada cairan pada setiap kunjungan dalam jam itu$`),
	regexp.MustCompile(`^tidak ada yang menyatakan (server )?sudah dikeringkan$`),
	regexp.MustCompile(`^Tidak ada BMC yang melihat apakah mesin dibuka, dikeringkan atau dibersihkan$`),
	regexp.MustCompile(`^Tidak dinyatakan: [a-z, ]+\.?$`),
	regexp.MustCompile(`^pengeringan$`), // the name of an attestation
}

// entities are those that the page has for marks of its own.
var entities = strings.NewReplacer("&#34;", `"`, "&quot;", `"`, "&amp;", "&", "&#39;", "'", "&lt;", "<", "&gt;", ">")

// sentencesOf are what a reader reads of a page, the words in pictures too.
func sentencesOf(page string) (all []string) {
	for page != "" {
		text, rest, _ := strings.Cut(page, "<")
		for _, s := range strings.FieldsFunc(strings.ReplaceAll(entities.Replace(text), ". ", "\n"), func(r rune) bool { return r == '\n' || r == ';' }) {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
		tag, after, _ := strings.Cut(rest, ">")
		if strings.HasPrefix(tag, "style") {
			_, after, _ = strings.Cut(after, "</style>")
		}
		page = after
	}
	return all
}

// claims are the sentences of a rendered report that may claim that something is dry or undamaged.
func claims(texts *report.Texts, rep *verification.Report) ([]string, error) {
	var page bytes.Buffer
	if err := render.HTML(&page, rep.Document(texts)); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	var bad []string
	for _, s := range sentencesOf(page.String()) {
		if !dryWords.MatchString(s) {
			continue
		}
		ok := false
		for _, re := range allowed {
			ok = ok || re.MatchString(s)
		}
		if !ok {
			bad = append(bad, s)
		}
	}
	return bad, nil
}

// unproven are the spans in which the report says that a detector reported no liquid, and it did not, or nobody read it.
func (i *incident) unproven(rep *verification.Report) (bad []string) {
	for _, rs := range rep.Servers {
		for _, s := range i.servers {
			if s.target.ID != rs.Target {
				continue
			}
			for _, d := range rs.Detectors {
				for _, x := range d.Dry {
					if why := s.against(x.From, x.To); why != "" {
						bad = append(bad, fmt.Sprintf("%s: %s reported no liquid from %s to %s: %s", s.target.ID, d.Component, at(x.From), at(x.To), why))
					}
				}
			}
		}
	}
	return bad
}

// against says what the ledger has against a detector's having reported no liquid all the time.
func (s *server) against(from, to time.Time) string {
	if !s.make.leak {
		return "this BMC shows no detector"
	}
	if last := s.ledger[len(s.ledger)-1].at; to.After(last.Add(time.Hour)) {
		return "nobody was there"
	}
	for k := range s.ledger {
		t := &s.ledger[k]
		if t.at.Before(from) || !t.at.Before(to) {
			continue
		}
		if !s.tells(0, t) {
			return fmt.Sprintf("at %s it could not be known (down %v, silent %v, frozen %v, hidden %v, %s)", at(t.at), t.down, t.silent, t.frozen, t.hidden, t.state.Leaks[0].State)
		}
		for _, c := range conditions(&t.state) {
			if c.kind == leaking {
				return "at " + at(t.at) + " it was wet"
			}
		}
		if t.at.After(from) {
			for _, c := range s.told(t) {
				if c.kind == leaking {
					return "before " + at(t.at) + " the log told of a leak"
				}
			}
		}
	}
	return ""
}
