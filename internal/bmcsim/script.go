package bmcsim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Script is a scenario from a file: faults at fixed times, perhaps again and again.
type Script struct {
	Steps  []ScriptStep
	Repeat time.Duration // 0: once

	file string
	data []byte
}

// ScriptStep is one fault of a script.
type ScriptStep struct {
	Order Order // After is the time since the start

	period   time.Duration
	headerAt int // offsets
	targetAt int
}

// Bounds of a script.
const (
	maxScript = 1 << 20
	maxSteps  = 10_000
)

// ScriptError is what is wrong with a script, and where. Lines and columns start at 1.
type ScriptError struct {
	File         string
	Line, Column int
	Message      string
}

func (e *ScriptError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

func (s *Script) fault(at int, message string) error {
	at = min(max(at, 0), len(s.data))
	before := string(s.data[:at])
	line := strings.Count(before, "\n")
	return &ScriptError{s.file, line + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1, message}
}

// keyValue is one line of a script.
type keyValue struct {
	at   int // of the key
	text string
	kind unstable.Kind
}

// ParseScript reads a scenario (docs/SCENARIOS.md). The error holds every fault there is, each a *ScriptError.
func ParseScript(file string, data []byte) (*Script, error) {
	s := &Script{file: file, data: data}
	if len(data) > maxScript {
		return nil, s.fault(0, fmt.Sprintf("a scenario has at most %d bytes", maxScript))
	}
	tables, errs := s.tables()
	for i, t := range tables {
		if i == 0 {
			errs = append(errs, s.top(t)...)
			continue
		}
		step, wrong := s.step(t)
		errs = append(errs, wrong...)
		s.Steps = append(s.Steps, step)
	}
	if len(errs) == 0 && len(s.Steps) == 0 {
		errs = append(errs, s.fault(0, "there is no [[step]]"))
	}
	if s.Repeat > 0 && len(errs) == 0 {
		for _, step := range s.Steps {
			if step.Order.After+step.Order.For > s.Repeat {
				errs = append(errs, s.fault(step.headerAt, fmt.Sprintf("this step ends after `repeat` (%s): it would overlap with itself", s.Repeat)))
			}
		}
	}
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b error) int {
			x, _ := errors.AsType[*ScriptError](a)
			y, _ := errors.AsType[*ScriptError](b)
			return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column), cmp.Compare(x.Message, y.Message))
		})
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// scriptTable is the top of the file, or one [[step]].
type scriptTable struct {
	at   int
	keys map[string]keyValue
	list []string // keys in order
}

func (s *Script) tables() ([]*scriptTable, []error) {
	var errs []error
	current := &scriptTable{keys: map[string]keyValue{}}
	tables := []*scriptTable{current}
	var p unstable.Parser
	p.Reset(s.data)
	for p.NextExpression() {
		n := p.Expression()
		it := n.Key()
		var names []string
		at := -1
		for it.Next() {
			if at < 0 {
				at = int(it.Node().Raw.Offset)
			}
			names = append(names, string(it.Node().Data))
		}
		name := strings.Join(names, ".")
		switch n.Kind {
		case unstable.ArrayTable, unstable.Table:
			current = &scriptTable{at: at, keys: map[string]keyValue{}}
			if n.Kind == unstable.Table || name != "step" {
				errs = append(errs, s.fault(at, fmt.Sprintf("unknown table %q: a scenario has [[step]]", name)))
				continue // its keys are not looked at
			}
			if len(tables) > maxSteps {
				return tables, append(errs, s.fault(at, fmt.Sprintf("more than %d steps", maxSteps)))
			}
			tables = append(tables, current)
		case unstable.KeyValue:
			if _, twice := current.keys[name]; twice {
				errs = append(errs, s.fault(at, fmt.Sprintf("`%s` is here twice", name)))
			}
			v := n.Value()
			current.keys[name] = keyValue{at, string(v.Data), v.Kind}
			current.list = append(current.list, name)
		}
	}
	if err := p.Error(); err != nil {
		at, message := len(s.data), err.Error()
		if pe, ok := errors.AsType[*unstable.ParserError](err); ok {
			message = pe.Message
			if off := cap(s.data) - cap(pe.Highlight); off >= 0 && off <= len(s.data) { // a slice of the data
				at = off
			}
		}
		errs = append(errs, s.fault(at, message))
	}
	return tables, errs
}

// known refuses keys that mean nothing.
func (s *Script) known(t *scriptTable, keys ...string) (errs []error) {
	for _, k := range t.list {
		if !slices.Contains(keys, k) {
			errs = append(errs, s.fault(t.keys[k].at, fmt.Sprintf("unknown key `%s`: known here are %s", k, strings.Join(keys, ", "))))
		}
	}
	return errs
}

func (s *Script) top(t *scriptTable) []error {
	errs := s.known(t, "repeat")
	if v, ok := t.keys["repeat"]; ok {
		var err error
		if s.Repeat, err = s.duration(v, "repeat"); err != nil {
			errs = append(errs, err)
		} else if s.Repeat < time.Second {
			errs = append(errs, s.fault(v.at, "`repeat` is at least 1s"))
		}
	}
	return errs
}

func (s *Script) duration(v keyValue, key string) (time.Duration, error) {
	if err := checkDuration(v.text); v.kind != unstable.String || err != nil {
		return 0, s.fault(v.at, fmt.Sprintf("`%s` is a duration in quotes, such as \"90s\", at most 24h", key))
	}
	d, _ := time.ParseDuration(v.text)
	return d, nil
}

func (s *Script) step(t *scriptTable) (ScriptStep, []error) {
	errs := s.known(t, "at", "target", "fault", "value", "for")
	step := ScriptStep{headerAt: t.at, targetAt: t.at}
	var err error
	for key, to := range map[string]*time.Duration{"at": &step.Order.After, "for": &step.Order.For} {
		if v, ok := t.keys[key]; ok {
			if *to, err = s.duration(v, key); err != nil {
				errs = append(errs, err)
			} else if key == "for" && *to == 0 {
				errs = append(errs, s.fault(v.at, "`for` is no time at all"))
			}
		}
	}
	for key, to := range map[string]*string{"target": &step.Order.Target, "fault": &step.Order.Fault, "value": &step.Order.Value} {
		v, ok := t.keys[key]
		switch {
		case !ok && key != "value":
			errs = append(errs, s.fault(t.at, fmt.Sprintf("this step lacks `%s`", key)))
		case ok && v.kind != unstable.String && !(key == "value" && (v.kind == unstable.Integer || v.kind == unstable.Float)):
			errs = append(errs, s.fault(v.at, fmt.Sprintf("`%s` is a text in quotes", key)))
		case ok:
			*to = v.text
		}
	}
	if v, ok := t.keys["target"]; ok {
		step.targetAt = v.at
	}
	if len(errs) == 0 {
		if err := step.Order.complete(); err != nil {
			at := t.keys["fault"].at
			if v, ok := t.keys["value"]; ok && slices.Contains(FaultNames(), step.Order.Fault) {
				at = v.at
			}
			errs = append(errs, s.fault(at, err.Error()))
		}
	}
	return step, errs
}
