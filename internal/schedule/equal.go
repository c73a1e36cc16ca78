package schedule

// Equal tells whether both specs are due at the same times, as far as their texts and zones tell.
func (s Spec) Equal(o Spec) bool {
	return s.text == o.text && (s.loc == o.loc || s.loc != nil && o.loc != nil && s.loc.String() == o.loc.String())
}
