package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const hidden = "***"

// Secret is a password or token. The zero Secret is no secret at all; see [Secret.IsZero].
//
// It holds a pointer, not a string: fmt calls no methods on unexported fields, so that a plain string inside an
// unexported field of some other struct would print under %v, while a pointer prints as an address.
type Secret struct{ text *string }

// New hides text. New("") is the zero Secret.
func New(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal gives the text, "" for the zero Secret. Call it where the text goes on the wire, nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal compares the texts in constant time. It is also what go-cmp calls.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

func (s Secret) String() string               { return hidden }
func (s Secret) GoString() string             { return hidden }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, hidden) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
