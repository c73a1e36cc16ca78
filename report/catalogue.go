package report

import (
	"embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

//go:embed catalogue/*.toml
var catalogues embed.FS

// Reference is the language in which every text exists.
const Reference = "en"

// Texts are the words of reports in one language.
type Texts struct {
	Lang  string
	words map[string]string
}

// Languages that there are texts in.
func Languages() []string {
	files, err := catalogues.ReadDir("catalogue")
	if err != nil {
		return nil
	}
	var l []string
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".toml"); !strings.Contains(name, ".") {
			l = append(l, name)
		}
	}
	slices.Sort(l)
	return l
}

// TextsIn reads the catalogue of a language: LANG.toml, and what reports have beside it, REPORT.LANG.toml.
func TextsIn(lang string) (*Texts, error) {
	if !slices.Contains(Languages(), lang) {
		return nil, fmt.Errorf("no texts in language %q: there are %s", lang, strings.Join(Languages(), ", "))
	}
	files, err := catalogues.ReadDir("catalogue")
	if err != nil {
		return nil, fmt.Errorf("texts in language %q: %w", lang, err)
	}
	words := map[string]string{}
	for _, f := range files {
		if f.Name() != lang+".toml" && !strings.HasSuffix(f.Name(), "."+lang+".toml") {
			continue
		}
		b, err := catalogues.ReadFile(path.Join("catalogue", f.Name()))
		if err != nil {
			return nil, fmt.Errorf("texts in language %q: %w", lang, err)
		}
		part := map[string]string{}
		if err := toml.Unmarshal(b, &part); err != nil {
			return nil, fmt.Errorf("texts in language %q: %s: %w", lang, f.Name(), err)
		}
		for k, v := range part {
			if _, twice := words[k]; twice {
				return nil, fmt.Errorf("texts in language %q: %q is there twice", lang, k)
			}
			words[k] = v
		}
	}
	return &Texts{Lang: lang, words: words}, nil
}

// Keys of all texts, in order.
func (t *Texts) Keys() []string { return slices.Sorted(maps.Keys(t.words)) }

// Raw is the text of a key as the catalogue has it, and whether it has one.
func (t *Texts) Raw(key string) (string, bool) {
	s, ok := t.words[key]
	return s, ok
}

// Say is the text of a key, with its %s and %d filled in. A key that is not there is said as itself: a test of each report's
// package makes sure that none is missing.
func (t *Texts) Say(key string, args ...any) string {
	s, ok := t.words[key]
	if !ok {
		s = "⟨" + key + "⟩"
	}
	if len(args) == 0 {
		return s
	}
	return fmt.Sprintf(s, args...)
}
