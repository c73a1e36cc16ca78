package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"dewline/health"
)

// sessionsDir is where the Redfish sessions of a data_dir are written down: see drivers/redfish.
func sessionsDir(dataDir string) string { return filepath.Join(dataDir, "sessions") }

// commandSessions is sessionsDir for a command that reads BMCs itself, so that it takes up a session that a killed daemon left
// and then ends it; "" if there is no data_dir, or a daemon whose sessions these are.
func commandSessions(dataDir string) string {
	if dataDir == "" || daemonLives(dataDir) {
		return ""
	}
	if info, err := os.Stat(dataDir); err != nil || !info.IsDir() {
		return ""
	}
	return sessionsDir(dataDir)
}

// daemonLives tells whether the process that locked the store last is there. It may be another of that number by now: then a
// session is not taken up. To try the lock would stop a daemon that starts in that moment.
func daemonLives(dataDir string) bool {
	b, err := os.ReadFile(filepath.Join(dataDir, "dewline.lock"))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) // not ours to look into
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || pid <= 0 {
		return false
	}
	err = syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// readsByRedfish tells whether a target may be read over Redfish, and so takes up the session that was left of it.
func (d *service) readsByRedfish(id health.TargetID) bool {
	t, ok := d.target(id)
	return ok && t.Driver != health.DriverIPMI
}
