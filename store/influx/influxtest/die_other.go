//go:build !linux

package influxtest

import "syscall"

func dieWithUs() *syscall.SysProcAttr { return nil }
