package capture

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// token is one scalar of a JSON text, and where it stands.
type token struct {
	key    string   // of the property it is the value of, through lists; "" for a property's name itself
	path   []string // keys of the objects around it, the outermost first
	text   string   // decoded
	name   bool     // it is a property's name
	number bool
	word   bool // true, false, null
}

// walkJSON goes through the scalars of a JSON text in order and puts in their place what edit gives for them; keep is true
// for one that stays as it is, byte for byte. It does not need the text to be whole or right: half a document, and what is
// no JSON at all, are recordings too. What stands outside any string is given to edit as a token without key.
func walkJSON(b []byte, edit func(t token) (text string, keep bool)) []byte {
	type level struct {
		object bool
		key    string
	}
	var stack []level
	var path []string // of the levels' keys
	var out bytes.Buffer
	out.Grow(len(b))
	current := func() string {
		if len(stack) == 0 {
			return ""
		}
		return stack[len(stack)-1].key
	}
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			end := stringEnd(b, i)
			raw := b[i:end]
			t := token{text: decodeString(raw), path: path}
			if len(stack) > 0 && stack[len(stack)-1].object && nextByte(b, end) == ':' {
				t.name = true
				stack[len(stack)-1].key = t.text
			} else {
				t.key = current()
			}
			text, keep := edit(t)
			if keep || text == t.text {
				out.Write(raw)
			} else {
				out.Write(encodeString(text, len(raw) > 1 && raw[len(raw)-1] == '"'))
			}
			i = end
		case c == '{' || c == '[':
			key := current()
			if len(stack) < 512 { // deeper than that the levels are no longer told apart
				stack = append(stack, level{object: c == '{', key: key})
				path = append(path, key)
			}
			out.WriteByte(c)
			i++
		case c == '}' || c == ']':
			if n := len(stack); n > 0 {
				stack, path = stack[:n-1], path[:n-1]
			}
			out.WriteByte(c)
			i++
		case c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r':
			out.WriteByte(c)
			i++
		default:
			end := i
			for end < len(b) && bytes.IndexByte([]byte(" \t\r\n,:{}[]\""), b[end]) < 0 {
				end++
			}
			t := token{text: string(b[i:end]), path: path, key: current()}
			t.number = (c == '-' || isDigit(c)) && json.Valid(b[i:end])
			t.word = t.text == "true" || t.text == "false" || t.text == "null"
			text, keep := edit(t)
			if keep {
				text = t.text
			}
			out.WriteString(text)
			i = end
		}
	}
	return out.Bytes()
}

func stringEnd(b []byte, start int) int {
	for i := start + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func nextByte(b []byte, i int) byte {
	for ; i < len(b); i++ {
		if c := b[i]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

func decodeString(raw []byte) string {
	body := raw[1:]
	if n := len(body); n > 0 && body[n-1] == '"' && len(raw) > 1 {
		body = body[:n-1]
	}
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body)
	}
	var s string
	if json.Unmarshal(append(append([]byte{'"'}, body...), '"'), &s) == nil {
		return s
	}
	return string(body) // broken escapes: looked at as they are
}

func encodeString(s string, closed bool) []byte {
	plain := utf8.ValidString(s) && !strings.ContainsAny(s, "\\\"")
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20
	}
	var b []byte
	if plain {
		b = append(append([]byte{'"'}, s...), '"')
	} else {
		var buf bytes.Buffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)
		b = bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	}
	if !closed {
		b = b[:len(b)-1]
	}
	return b
}
