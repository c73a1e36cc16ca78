package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// refuseNewer gives an error that wraps ErrNewer if the store at path is one of a newer program, and changes nothing: no lock, no WAL, no
// shared memory is made, nothing is moved from the WAL into the database, as SQLite does for whoever opens and closes a store. Anything
// else that is wrong with the store is for the opening to say.
func (ms migrations) refuseNewer(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	// Through SQLite, not by reading the file: to close a descriptor of the database would drop the locks that this process has on it.
	db, err := sql.Open("sqlite", dsn(path, "ro")+"&immutable=1")
	if err != nil {
		return nil
	}
	defer db.Close()
	var version, app int
	if err := errors.Join(
		db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version),
		db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app),
	); err != nil {
		return nil
	}
	// What is immutable has no WAL. If a newer program was killed right after its migration, that is still there.
	f, err := os.Open(path + "-wal")
	if err == nil {
		defer f.Close()
		if h := walHeader(f); h != nil {
			version, app = int(int32(binary.BigEndian.Uint32(h[60:]))), int(binary.BigEndian.Uint32(h[68:]))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if app == applicationID && version > len(ms) {
		return newer(version, len(ms))
	}
	return nil
}

func newer(version, known int) error {
	return fmt.Errorf("%w: schema %d, this program knows up to %d. Nothing was changed: use the dewline that wrote it, or restore a backup of before", ErrNewer, version, known)
}

const (
	walHeaderSize   = 32
	frameHeaderSize = 24
	dbHeaderSize    = 100
)

// walHeader is the database's header as of the last commit in a WAL, nil if the WAL does not hold one. The format is that of SQLite's
// documentation, "WAL-mode File Format": a frame counts if its salts are the header's and the sums of all up to it are right, and a
// transaction if its last frame, which tells the size of the database, is there.
func walHeader(r io.ReaderAt) []byte {
	head := make([]byte, walHeaderSize)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return nil
	}
	size := int64(binary.BigEndian.Uint32(head[8:]))
	if size < 512 || size > 65536 {
		return nil
	}
	var s0, s1 uint32
	sum := func(b []byte) {
		for ; len(b) >= 8; b = b[8:] {
			s0 += order.Uint32(b) + s1
			s1 += order.Uint32(b[4:]) + s0
		}
	}
	right := func(b []byte) bool { return binary.BigEndian.Uint32(b) == s0 && binary.BigEndian.Uint32(b[4:]) == s1 }
	if sum(head[:24]); !right(head[24:]) {
		return nil
	}
	var committed, pending []byte
	frame := make([]byte, frameHeaderSize+size)
	for at := int64(walHeaderSize); ; at += int64(len(frame)) {
		if _, err := r.ReadAt(frame, at); err != nil {
			return committed // the end
		}
		if string(frame[8:16]) != string(head[16:24]) { // of an earlier use of the file
			return committed
		}
		sum(frame[:8])
		if sum(frame[frameHeaderSize:]); !right(frame[16:]) {
			return committed
		}
		if binary.BigEndian.Uint32(frame) == 1 {
			pending = append([]byte(nil), frame[frameHeaderSize:frameHeaderSize+dbHeaderSize]...)
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 && pending != nil {
			committed, pending = pending, nil
		}
	}
}
