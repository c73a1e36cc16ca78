package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where a key and its value stand; of a table, where its header stands. Bad: a fault was told of it already.
type place struct {
	key, value int
	bad        bool
}

// decoder lays a tree over the raw structs.
type decoder struct {
	src    *source
	places map[string]place // by path: target[2].tls.ca_file
	meant  map[string]bool  // paths that a misspelt key probably stands for
	faults []Fault
}

func (d *decoder) fault(path string, at int, message, hint string) {
	d.faults = append(d.faults, d.src.fault(at, path, message, hint))
	if p, ok := d.places[path]; ok {
		p.bad = true
		d.places[path] = p
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// keysOf is the keys a raw struct knows, in order.
func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		keys = append(keys, f.Tag.Get("toml"))
	}
	return keys
}

func (d *decoder) table(t *table, v reflect.Value, path string) {
	keys := keysOf(v.Type())
	for _, e := range t.entries {
		p := join(path, e.name)
		i := slices.Index(keys, e.name)
		if i < 0 {
			d.fault(p, e.at, "unknown key "+quote(e.name), unknownHint(e.name, keys))
			if meant := nearest(e.name, keys); meant != "" {
				d.meant[join(path, meant)] = true
			}
			continue
		}
		d.places[p] = place{key: e.at, value: e.val.at}
		d.value(e.val, v.Field(i), p, e.name)
	}
}

// unknownHint says what was meant: a key of this table, or one of another.
func unknownHint(name string, keys []string) string {
	if hint := didYouMean(name, keys); hint != "" {
		return hint
	}
	if where := homes(name); len(where) > 0 {
		return "it belongs in " + strings.Join(where, " or ")
	}
	return "known here: " + strings.Join(keys, ", ")
}

// homes is the tables that know a key.
func homes(name string) []string {
	var found []string
	var walk func(t reflect.Type, header string)
	walk = func(t reflect.Type, header string) {
		for f := range t.Fields() {
			key := f.Tag.Get("toml")
			if key == name {
				if header == "" {
					found = append(found, "the top of the file, before the first [table]")
				} else {
					found = append(found, "["+header+"]")
				}
			}
			switch f.Type.Kind() {
			case reflect.Struct:
				walk(f.Type, join(header, key))
			case reflect.Slice:
				if f.Type.Elem().Kind() == reflect.Struct {
					walk(f.Type.Elem(), "["+join(header, key)+"]")
				}
			}
		}
	}
	walk(reflect.TypeFor[rawFile](), "")
	return found
}

func (d *decoder) value(n *value, v reflect.Value, path, name string) {
	switch v.Kind() {
	case reflect.String:
		if d.want(n, unstable.String, path, name, `a text in quotes`) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if d.want(n, unstable.Bool, path, name, "true or false") {
			v.SetBool(n.text == "true")
		}
	case reflect.Int:
		if d.want(n, unstable.Integer, path, name, "a whole number") {
			var scalar struct{ V int }
			if err := toml.Unmarshal([]byte("V = "+n.text), &scalar); err != nil {
				d.fault(path, n.at, fmt.Sprintf("%s is no whole number that can be held", quote(name)), "")
				return
			}
			v.SetInt(int64(scalar.V))
		}
	case reflect.Float64:
		if n.kind != unstable.Integer && !d.want(n, unstable.Float, path, name, "a number") {
			return
		}
		var scalar struct{ V float64 }
		if err := toml.Unmarshal([]byte("V = "+n.text), &scalar); err != nil || math.IsNaN(scalar.V) || math.IsInf(scalar.V, 0) {
			d.fault(path, n.at, fmt.Sprintf("%s is no number that can be measured", quote(name)), "")
			return
		}
		v.SetFloat(scalar.V)
	case reflect.Struct:
		switch {
		case n.kind == unstable.Table:
			d.places[path] = place{key: n.table.at, value: n.table.at}
			d.table(n.table, v, path)
		case n.headers:
			d.fault(path, n.list[0].at, quote(name)+" is one table, not a list of them", "write ["+name+"]")
		default:
			d.want(n, unstable.Table, path, name, "a table")
		}
	case reflect.Map:
		if !d.want(n, unstable.Table, path, name, "a table of texts") {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for _, e := range n.table.entries {
			p := join(path, e.name)
			d.places[p] = place{key: e.at, value: e.val.at}
			element := reflect.New(v.Type().Elem()).Elem()
			d.value(e.val, element, p, e.name)
			v.SetMapIndex(reflect.ValueOf(e.name), element)
		}
	case reflect.Slice:
		d.list(n, v, path, name)
	default:
		panic("config: raw structs have no " + v.Kind().String()) // our own mistake; the tests would show it
	}
}

func (d *decoder) list(n *value, v reflect.Value, path, name string) {
	tables := v.Type().Elem().Kind() == reflect.Struct
	if n.kind != unstable.Array {
		if tables && n.kind == unstable.Table {
			d.fault(path, n.table.at, quote(name)+" is a list of tables", "write [["+name+"]]")
			return
		}
		d.want(n, unstable.Array, path, name, "a list in [ ]")
		return
	}
	for i, element := range n.list {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.places[p] = place{key: element.at, value: element.at}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(element, v.Index(i), p, name)
	}
}

func (d *decoder) want(n *value, kind unstable.Kind, path, name, what string) bool {
	if n.kind == kind {
		return true
	}
	hint := ""
	if kind == unstable.String && n.kind != unstable.Array && n.kind != unstable.Table {
		hint = "put it in quotes"
	}
	if n.kind == unstable.String && kind != unstable.Array && kind != unstable.Table {
		hint = "without quotes"
	}
	d.fault(path, n.at, fmt.Sprintf("%s must be %s, not %s", quote(name), what, kindName(n)), hint)
	return false
}

func kindName(n *value) string {
	switch n.kind {
	case unstable.String:
		return "a text"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer:
		return "a whole number"
	case unstable.Float:
		return "a number with a fraction"
	case unstable.Array:
		return "a list"
	case unstable.Table:
		return "a table"
	}
	return "a date or time"
}
