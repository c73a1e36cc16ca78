package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dewline/store/sqlite"
)

// powerless is a command without root's power to write where it may not: for root, in a namespace in which root is an ordinary user.
func powerless(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsDewline+"=1")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}},
		}
	}
	return cmd
}

// A data_dir that may only be read: one line, which names it, exit 1, and nothing is changed there.
func TestADataDirThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		dir  os.FileMode // of data_dir,
		file os.FileMode // and of the files there
	}{
		{"the folder", 0o500, 0o600},
		{"the folder and the files", 0o500, 0o400},
		{"the files", 0o700, 0o400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			db, err := sqlite.Open(t.Context(), data, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(dir, "dewline.toml")
			text := "data_dir = \"data\"\n[[credential]]\nname = \"c\"\nusername = \"u\"\npassword = \"env:PATH\"\n[[target]]\nname = \"db-1\"\naddress = \"https://127.0.0.1:1\"\ncredential = \"c\"\n[backup]\npath = \"/nowhere\"\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, n := range []string{"dewline.db", "dewline.lock"} {
				if err := os.Chmod(filepath.Join(data, n), c.file); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(data, c.dir); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(data, 0o700) }) // so that it can be removed
			before := contents(t, dir)
			cmd := powerless("run", "-c", config)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
				if os.Getenv("CI") == "true" {
					t.Fatalf("no namespace in which root is an ordinary user: %v", err)
				}
				t.Skipf("no namespace in which root is an ordinary user (testdata/script/datadir.txtar covers a data_dir that cannot be made): %v", err)
			} else if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != exitFailed || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), data) {
				t.Errorf("exit %d: %s", code, &out)
			}
			after := contents(t, dir)
			delete(before, "/data/dewline.lock") // says which process looked
			delete(after, "/data/dewline.lock")
			if len(before) != len(after) || before["/data/dewline.db"] != after["/data/dewline.db"] {
				t.Errorf("changed: %v", after)
			}
			t.Log(out.String())
		})
	}
}
