package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// value is one value of the file and where it stands.
type value struct {
	kind  unstable.Kind // String, Integer, …, Array, or Table for every kind of table
	at    int           // offset
	text  string        // of a string its content, of another scalar its raw text
	table *table
	list  []*value
	// headers tells that the list was made by [[name]] headers: it can grow, an array cannot.
	headers bool
}

type entry struct {
	name string
	at   int // offset of the key
	val  *value
}

type table struct {
	at      int // of its header, or of its key
	entries []*entry
	index   map[string]*entry

	explicit bool // has had its own [header]
	dotted   bool // made by a dotted key: grows by dotted keys only
	closed   bool // inline: grows no more
}

func newTable(at int) *table { return &table{at: at, index: map[string]*entry{}} }

func (t *table) add(name string, at int, v *value) {
	e := &entry{name: name, at: at, val: v}
	t.entries = append(t.entries, e)
	t.index[name] = e
}

// maxSyntaxFaults bounds how often reading is taken up again after a line that is no TOML.
const maxSyntaxFaults = 20

// builder makes the tree of a file.
type builder struct {
	src     *source
	root    *table
	current *table
	faults  []Fault
	broken  bool // some lines could not be read
	base    int  // offset of what the parser was given
	p       unstable.Parser
}

// parseTree reads the file as TOML. It goes on after lines that cannot be read, and says so by broken.
func parseTree(src *source) (root *table, faults []Fault, broken bool) {
	b := &builder{src: src, root: newTable(0)}
	b.current = b.root
	for {
		rest := src.data[b.base:]
		b.p.Reset(rest[:len(rest):len(rest)])
		for b.p.NextExpression() {
			b.expression(b.p.Expression())
		}
		err := b.p.Error()
		if err == nil {
			break
		}
		at := b.syntaxFault(err, rest)
		b.broken = true
		next := b.resume(at)
		if next < 0 || len(b.faults) >= maxSyntaxFaults {
			break
		}
		b.base = next
	}
	return b.root, b.faults, b.broken
}

var (
	offending = regexp.MustCompile(`( but got)? U\+[0-9A-F]+( '.*')?`)
	secretKey = regexp.MustCompile(`(?i)pass|token|secret`)
	lineStart = regexp.MustCompile(`^[ \t]*(\[|[A-Za-z0-9_."'-]+[ \t]*=)`)
)

func (b *builder) syntaxFault(err error, rest []byte) (at int) {
	at, message := len(b.src.data), err.Error()
	if perr, ok := errors.AsType[*unstable.ParserError](err); ok {
		// A highlight is a slice of what the parser was given; capacities tell which.
		if off := cap(rest[:len(rest):len(rest)]) - cap(perr.Highlight); off >= 0 && off <= len(rest) {
			at = b.base + off
		}
		message = perr.Message
	}
	at = min(at, len(b.src.data))
	hint := ""
	line := b.src.lineAt(at)
	switch {
	case strings.Contains(message, "at start of value"):
		message = "this is no value"
		hint = `a text stands in quotes: "…"`
	case strings.HasPrefix(message, "expected value"), strings.HasPrefix(message, "expected keyword"):
		message = "a value is missing or misspelt"
		hint = `a text stands in quotes: "…"`
	case strings.HasPrefix(message, "expected newline"):
		message, hint = "the line should end here", "one key = value in a line, a text in one pair of quotes"
	case strings.Contains(message, "cannot have new lines"):
		message, hint = "this text is not closed", "its closing quote is missing"
	case secretKey.Match(line):
		message = offending.ReplaceAllString(message, "") // may be a character of a password
	}
	b.faults = append(b.faults, b.src.fault(at, "", message, hint))
	return at
}

// resume finds the next line after an unreadable one that looks like a key or a header. Keys that follow an unreadable
// header belong to no table we know: they are set aside.
func (b *builder) resume(at int) int {
	if bytes.HasPrefix(bytes.TrimLeft(b.src.lineAt(at), " \t"), []byte("[")) {
		b.current = newTable(at)
	}
	line, _ := b.src.place(at)
	for ; line < len(b.src.lines); line++ {
		if start := b.src.lines[line]; lineStart.Match(b.src.lineAt(start)) {
			return start
		}
	}
	return -1
}

func (b *builder) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		b.header(n)
	case unstable.KeyValue:
		b.keyValue(b.current, n)
	}
}

type keyPart struct {
	name string
	at   int
}

func (b *builder) key(n *unstable.Node) []keyPart {
	var parts []keyPart
	it := n.Key()
	for it.Next() {
		k := it.Node()
		parts = append(parts, keyPart{string(k.Data), b.base + int(k.Raw.Offset)})
	}
	return parts
}

func (b *builder) duplicate(at int, name string, first *entry) {
	line, _ := b.src.place(first.at)
	b.faults = append(b.faults, b.src.fault(at, name, fmt.Sprintf("%s is already defined in line %d", quote(name), line), "remove one of them"))
}

func (b *builder) header(n *unstable.Node) {
	parts := b.key(n)
	last := parts[len(parts)-1]
	at := b.src.begin(parts[0].at)
	b.current = newTable(at) // aside, until all is well
	t := b.root
	for _, p := range parts[:len(parts)-1] {
		e := t.index[p.name]
		if e == nil {
			sub := newTable(at)
			t.add(p.name, p.at, &value{kind: unstable.Table, at: p.at, table: sub})
			t = sub
			continue
		}
		switch {
		case e.val.kind == unstable.Table && !e.val.table.closed:
			t = e.val.table
		case e.val.headers:
			t = e.val.list[len(e.val.list)-1].table
		default:
			b.duplicate(p.at, p.name, e)
			return
		}
	}
	e := t.index[last.name]
	if n.Kind == unstable.ArrayTable {
		fresh := newTable(at)
		element := &value{kind: unstable.Table, at: at, table: fresh}
		switch {
		case e == nil:
			t.add(last.name, last.at, &value{kind: unstable.Array, at: last.at, list: []*value{element}, headers: true})
		case e.val.headers:
			e.val.list = append(e.val.list, element)
		default:
			b.duplicate(last.at, last.name, e)
			return
		}
		b.current = fresh
		return
	}
	if e == nil {
		fresh := newTable(at)
		fresh.explicit = true
		t.add(last.name, last.at, &value{kind: unstable.Table, at: last.at, table: fresh})
		b.current = fresh
		return
	}
	if e.val.kind != unstable.Table || e.val.table.explicit || e.val.table.dotted || e.val.table.closed {
		b.duplicate(last.at, last.name, e)
		return
	}
	e.val.table.explicit = true
	e.val.table.at = at
	b.current = e.val.table
}

func (b *builder) keyValue(t *table, n *unstable.Node) {
	parts := b.key(n)
	for _, p := range parts[:len(parts)-1] {
		e := t.index[p.name]
		if e == nil {
			sub := newTable(p.at)
			sub.dotted = true
			t.add(p.name, p.at, &value{kind: unstable.Table, at: p.at, table: sub})
			t = sub
			continue
		}
		if e.val.kind != unstable.Table || !e.val.table.dotted {
			b.duplicate(p.at, p.name, e)
			return
		}
		t = e.val.table
	}
	last := parts[len(parts)-1]
	v := b.value(n.Value(), last.at)
	if e := t.index[last.name]; e != nil {
		b.duplicate(last.at, last.name, e)
		return
	}
	t.add(last.name, last.at, v)
}

// value copies a value out of the parser, which forgets it at the next expression. An array has no place of its own
// there, so it gets the one of its key.
func (b *builder) value(n *unstable.Node, keyAt int) *value {
	v := &value{kind: n.Kind, at: keyAt}
	switch n.Kind {
	case unstable.Array:
		it := n.Children()
		for it.Next() {
			v.list = append(v.list, b.value(it.Node(), keyAt))
		}
	case unstable.InlineTable:
		v.kind = unstable.Table
		v.at = b.base + int(n.Raw.Offset)
		v.table = newTable(keyAt)
		it := n.Children()
		for it.Next() {
			b.keyValue(v.table, it.Node())
		}
		closeTables(v.table)
	default:
		v.at = b.base + int(n.Raw.Offset)
		v.text = string(n.Data)
	}
	return v
}

// closeTables marks an inline table, and the tables its dotted keys made, as complete.
func closeTables(t *table) {
	t.closed, t.dotted = true, false
	for _, e := range t.entries {
		if e.val.kind == unstable.Table && !e.val.table.closed {
			closeTables(e.val.table)
		}
	}
}
