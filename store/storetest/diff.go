package storetest

import (
	"fmt"
	"math"
	"reflect"
	"time"
)

// Diff is the first difference between two values, with its place, or "". Times are compared by instant, floats by their bits;
// an empty list or map is like none.
func Diff(want, got any) string { return diff(reflect.ValueOf(want), reflect.ValueOf(got), "") }

func diff(a, b reflect.Value, at string) string {
	differ := func() string { return fmt.Sprintf("%s: want %v, got %v", at, a, b) }
	if !a.IsValid() || !b.IsValid() {
		if a.IsValid() != b.IsValid() {
			return differ()
		}
		return ""
	}
	if a.Type() != b.Type() {
		return differ()
	}
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return differ()
			}
			return ""
		}
		return diff(a.Elem(), b.Elem(), at)
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return fmt.Sprintf("%s: want %d, got %d of them", at, a.Len(), b.Len())
		}
		for i := range a.Len() {
			if d := diff(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", at, i)); d != "" {
				return d
			}
		}
		return ""
	case reflect.Map:
		if a.Len() != b.Len() {
			return fmt.Sprintf("%s: want %d, got %d of them", at, a.Len(), b.Len())
		}
		for k, v := range a.Seq2() {
			if d := diff(v, b.MapIndex(k), fmt.Sprintf("%s[%v]", at, k)); d != "" {
				return d
			}
		}
		return ""
	case reflect.Struct:
		if a.CanInterface() && a.Type() == reflect.TypeFor[time.Time]() {
			t, _ := reflect.TypeAssert[time.Time](a)
			if u, _ := reflect.TypeAssert[time.Time](b); !t.Equal(u) {
				return differ()
			}
			return ""
		}
		for i := range a.NumField() {
			if d := diff(a.Field(i), b.Field(i), at+"."+a.Type().Field(i).Name); d != "" {
				return d
			}
		}
		return ""
	case reflect.Float32, reflect.Float64: // the negative zero is not zero
		if math.Float64bits(a.Float()) != math.Float64bits(b.Float()) {
			return differ()
		}
		return ""
	}
	if !a.Equal(b) {
		return differ()
	}
	return ""
}
