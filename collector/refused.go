package collector

// Refused tells that the store takes no visits now: what is read is kept in memory and lost if dewline ends.
func (c *Collector) Refused() bool {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	return c.store.failing
}
