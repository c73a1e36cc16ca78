package report

import (
	"regexp"
	"slices"
	"testing"
)

var placeholder = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z%]`)

func TestEveryLanguageSaysEverything(t *testing.T) {
	ref, err := TextsIn(Reference)
	if err != nil {
		t.Fatal(err)
	}
	if len(Languages()) < 2 || len(ref.Keys()) == 0 {
		t.Fatalf("languages %q, %d keys", Languages(), len(ref.Keys()))
	}
	for _, lang := range Languages() {
		texts, err := TextsIn(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range ref.Keys() {
			want, _ := ref.Raw(k)
			got, ok := texts.Raw(k)
			if !ok || got == "" {
				t.Errorf("%s lacks %q", lang, k)
				continue
			}
			if a, b := placeholder.FindAllString(want, -1), placeholder.FindAllString(got, -1); !slices.Equal(a, b) {
				t.Errorf("%s: %q has placeholders %q, the reference %q", lang, k, b, a)
			}
		}
		for _, k := range texts.Keys() {
			if _, ok := ref.Raw(k); !ok {
				t.Errorf("%s has %q, which the reference does not", lang, k)
			}
		}
	}
	if _, err := TextsIn("xx"); err == nil {
		t.Error("texts in a language that there is none of")
	}
	if got := ref.Say("no.such.key"); got != "⟨no.such.key⟩" {
		t.Error(got)
	}
}
