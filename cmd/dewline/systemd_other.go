//go:build !linux

package main

import "time"

// monotonic is asked for by systemd, which is nowhere but on Linux.
func monotonic() time.Duration { return 0 }
