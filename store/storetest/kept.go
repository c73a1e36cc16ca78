package storetest

import (
	"reflect"
	"time"

	"dewline/health"
)

// Clone is a deep copy: nothing in it shares memory with v. Nil stays nil.
func Clone[T any](v T) T {
	return deepCopy(reflect.ValueOf(&v).Elem()).Interface().(T)
}

func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v) // also what has no exported fields to walk: time.Time is a value
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			p := reflect.New(v.Type().Elem())
			p.Elem().Set(deepCopy(v.Elem()))
			out.Set(p)
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(deepCopy(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for k, e := range v.Seq2() {
				out.SetMapIndex(k, deepCopy(e))
			}
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for i := range v.NumField() {
			if f := out.Field(i); f.CanSet() {
				f.Set(deepCopy(v.Field(i)))
			}
		}
	}
	return out
}

// Kept is the part of a recorded visit that a store gives back to followers, in the one form in which it gives it back:
// times in UTC without a monotonic part (a BMC's own times keep their offset), empty lists and maps nil. Not kept with
// the visit are its Delta, and of its snapshot the scope, identity, thresholds, cursors, memory, the list of logs, and the
// fields of components beyond ID, class, name, presence, state and StateNotRead; what is known of a target holds those.
func Kept(v *health.Visit) *health.Visit {
	k := Clone(v)
	k.Delta = health.Delta{}
	k.Started = utc(k.Started)
	for t, d := range k.Due {
		k.Due[t] = utc(d)
	}
	if s := k.Snapshot; s != nil {
		s.At = utc(s.At)
		s.Scope, s.Identity, s.Logs, s.NextCursors, s.Memory = nil, nil, nil, nil, nil
		for i, c := range s.Components {
			s.Components[i] = health.Component{ID: c.ID, Class: c.Class, Name: c.Name, Presence: c.Presence, State: c.State,
				StateNotRead: c.StateNotRead}
		}
		for i := range s.Readings {
			s.Readings[i].Thresholds = nil
		}
		for i := range s.Log {
			e := &s.Log[i]
			e.Observed, e.Created = utc(e.Observed), e.Created.Round(0)
			e.Key, e.Raw, e.Args = orNil(e.Key), orNil(e.Raw), orNil(e.Args)
		}
		s.Components, s.Readings, s.Log, s.Gaps = orNil(s.Components), orNil(s.Readings), orNil(s.Log), orNil(s.Gaps)
	}
	for i := range k.Skipped {
		k.Skipped[i].First, k.Skipped[i].Last = utc(k.Skipped[i].First), utc(k.Skipped[i].Last)
	}
	for i := range k.Events {
		e := &k.Events[i]
		e.At, e.SourceTime = utc(e.At), e.SourceTime.Round(0)
		e.Evidence = orNil(e.Evidence)
	}
	k.Events, k.Unread, k.Skipped = orNil(k.Events), orNil(k.Unread), orNil(k.Skipped)
	if len(k.Due) == 0 {
		k.Due = nil
	}
	return k
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// utc is t as stores keep it. The zero time stays the zero time.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Round(0).UTC()
}
