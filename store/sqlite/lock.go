//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrLocked says that another process writes this store.
type ErrLocked struct {
	Path string
	PID  int // 0 if it did not say
}

func (e *ErrLocked) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("store is in use by %s (%s)", who, e.Path)
}

// lockFile takes the lock, which the kernel frees with the process, however that ends. The file stays: removing it would
// let two processes each hold a lock on a file of that name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		b, _ := io.ReadAll(io.LimitReader(f, 20))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return nil, &ErrLocked{Path: path, PID: pid}
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlock gives the lock back, and closes the file. Closing alone would leave the lock to a child that is between its fork and its exec, which
// has a copy of every descriptor: the next to open the store would be refused.
func unlock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), syscall.LOCK_UN) })
	return errors.Join(err, failed, f.Close())
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// folderHold keeps the files of a folder from being removed while somebody may be about to read them: readers hold a shared lock on the folder, in
// this process and in others, and who removes must have it alone. The kernel frees it with the process.
type folderHold struct {
	mu     sync.Mutex
	n      int
	dir    *os.File
	locked bool
}

// enter takes the lock, once for all who read. If there is no folder there is nothing to lock.
func (h *folderHold) enter(path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dir == nil {
		f, err := os.Open(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		h.dir = f
	}
	if h.dir != nil && !h.locked {
		if err := flock(h.dir, syscall.LOCK_SH); err != nil {
			return err
		}
		h.locked = true
	}
	h.n++
	return nil
}

func (h *folderHold) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n--; h.n == 0 && h.locked {
		h.locked = false
		if err := flock(h.dir, syscall.LOCK_UN); err != nil { // closing it frees the lock too
			_ = h.dir.Close()
			h.dir = nil
		}
	}
}

func (h *folderHold) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dir == nil {
		return nil
	}
	defer func() { h.dir, h.locked = nil, false }()
	return h.dir.Close()
}

// alone takes the lock for one who removes. free is nil if somebody reads.
func (h *folderHold) alone(path string) (free func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	switch err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, f.Close()
	case err != nil:
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
