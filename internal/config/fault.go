package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fault is one thing wrong with a configuration, and where. Lines and columns start at 1; a column counts characters.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Key     string `json:"key"` // the whole path: target[2].tls.ca_file; of AdHoc, the flag
	Message string `json:"message"`
	Hint    string `json:"hint"` // what to do about it; may be empty
}

// Error is `file:line:column: message (hint)`, or `flag: message (hint)` where there is no file.
func (f Fault) Error() string {
	s := f.Message
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	switch {
	case f.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, s)
	case f.Key != "":
		return f.Key + ": " + s
	}
	return s
}

// Faults is every fault of a configuration, in the order of their places.
type Faults []Fault

// Error has one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

func sortFaults(fs []Fault) {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// source is a file's text, and where its lines begin.
type source struct {
	file  string
	data  []byte
	lines []int
}

func newSource(file string, data []byte) *source {
	s := &source{file: file, data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// place is the line and column of an offset.
func (s *source) place(at int) (line, column int) {
	at = min(max(at, 0), len(s.data))
	i, found := slices.BinarySearch(s.lines, at)
	if !found {
		i--
	}
	return i + 1, utf8.RuneCount(s.data[s.lines[i]:at]) + 1
}

// lineAt is the text of the line that holds an offset.
func (s *source) lineAt(at int) []byte {
	line, _ := s.place(at)
	text := s.data[s.lines[line-1]:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return text
}

// begin is the offset of the first character of the line that is no blank.
func (s *source) begin(at int) int {
	line, _ := s.place(at)
	b := s.lines[line-1]
	for b < at && (s.data[b] == ' ' || s.data[b] == '\t') {
		b++
	}
	return b
}

func (s *source) fault(at int, key, message, hint string) Fault {
	line, column := s.place(at)
	return Fault{File: s.file, Line: line, Column: column, Key: key, Message: message, Hint: hint}
}

// quote shows a word of the file: in backticks, or escaped if it holds what a terminal must not get.
func quote(s string) string {
	if s == "" {
		return `""`
	}
	const longest = 80
	if utf8.RuneCountInString(s) > longest {
		s = string([]rune(s)[:longest]) + "…"
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == '`' || r == utf8.RuneError {
			return strconv.QuoteToGraphic(s)
		}
	}
	return "`" + s + "`"
}
