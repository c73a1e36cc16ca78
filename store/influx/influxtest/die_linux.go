package influxtest

import "syscall"

// dieWithUs ends the server with the test program, also when that is killed or panics on its time-out.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
