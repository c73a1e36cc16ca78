package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	_ "modernc.org/sqlite"
)

// Options of a store; the zero value works.
type Options struct {
	Log *slog.Logger // nil: nowhere
	// CommitEvery is how long the first visit of a commit waits for others, CommitMax how many share one. 0: 250 ms, 256.
	CommitEvery time.Duration
	CommitMax   int
	// Sinks are the names of the configured followers: an hour is compacted only after each of them has passed it.
	// Cursors of others are kept, and obeyed by nobody.
	Sinks []string
	// Retention is what Run drops when; the zero value drops nothing.
	Retention Retention
}

// DB is an open store. Its methods may be called from many goroutines at once.
type DB struct {
	dir, path string
	o         Options
	readOnly  bool
	lock      *os.File
	opened    os.FileInfo // of the database file
	read      *sql.DB     // pool, query_only
	names     names       // dictionaries of committed visits

	write    *sql.DB // one connection, the writer goroutine's
	ops      chan *op
	closing  sync.RWMutex // held for reading while an op is handed over
	closed   bool
	finished chan struct{} // the writer has ended
	compact  sync.Mutex    // one compaction, or move into files, at a time
	held     folderHold    // by readers, against the removal of files
	overCap  bool          // Run's: retention cannot bring the store below its size
	unsent   unsentState

	wake    sync.Mutex
	changed chan struct{}
}

// ErrClosed is returned by every method that writes once the store is closed or if it was opened read-only.
var ErrClosed = errors.New("store is closed or read-only")

const (
	// FileName is that of a store in its folder.
	FileName = "dewline.db"
	lockName = "dewline.lock"
)

// Open opens the store in dir for writing, and makes both if they are not there: the directory 0700, its files 0600. One
// process at a time holds a store; a second one gets an *ErrLocked. A store of a newer program gives an error that wraps
// ErrNewer and is left as it is; one of an older program is copied beside itself and then migrated. ctx bounds the opening.
func Open(ctx context.Context, dir string, o Options) (*DB, error) {
	ms, err := readMigrations(embedded)
	if err != nil {
		return nil, err
	}
	return open(ctx, dir, o, ms)
}

func open(ctx context.Context, dir string, o Options, ms migrations) (_ *DB, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CommitEvery <= 0 {
		o.CommitEvery = 250 * time.Millisecond
	}
	if o.CommitMax <= 0 {
		o.CommitMax = 256
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, FileName)
	if err := ms.refuseNewer(ctx, path); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db := &DB{
		dir: dir, path: path, o: o, lock: lock, ops: make(chan *op, o.CommitMax),
		finished: make(chan struct{}), changed: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open store %s: %w", db.path, err), db.closeFiles())
		}
	}()
	if _, err := os.Stat(db.path); errors.Is(err, fs.ErrNotExist) {
		// SQLite gives its WAL and shared memory the mode of this file. It is only made here while nobody can have it open:
		// closing any descriptor of it would drop SQLite's locks.
		f, err := os.OpenFile(db.path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	db.write, err = sql.Open("sqlite", dsn(db.path, "rw", "auto_vacuum(2)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"))
	if err != nil {
		return nil, err
	}
	db.write.SetMaxOpenConns(1)
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ms.apply(ctx, conn, db.path), conn.Close()); err != nil {
		return nil, err
	}
	if err := db.openRead(ctx, "rw"); err != nil {
		return nil, err
	}
	if db.opened, err = os.Stat(db.path); err != nil {
		return nil, err
	}
	if err := db.openPeriods(ctx); err != nil {
		return nil, err
	}
	w := &writer{db: db, targets: map[string]*writerTarget{}}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	go w.run()
	return db, nil
}

// OpenReadOnly opens the store in dir to look at it, also while a daemon writes it. It takes no lock and never writes.
// Methods that write return ErrClosed; Changed never wakes. A store of a newer program gives ErrNewer, one of an older program
// an error that says so: only Open migrates. A missing store is fs.ErrNotExist.
func OpenReadOnly(ctx context.Context, dir string) (_ *DB, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db := &DB{
		dir: dir, path: filepath.Join(dir, FileName), readOnly: true, closed: true, changed: make(chan struct{}),
		o: Options{Log: slog.New(slog.DiscardHandler)},
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open store %s: %w", db.path, err), db.closeFiles())
		}
	}()
	if _, err := os.Stat(db.path); err != nil {
		return nil, err
	}
	ms, err := readMigrations(embedded)
	if err != nil {
		return nil, err
	}
	if err := ms.refuseNewer(ctx, db.path); err != nil {
		return nil, err
	}
	if err := db.openRead(ctx, "ro"); err != nil {
		return nil, err
	}
	conn, err := db.read.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	version, err := ms.check(ctx, conn)
	if err != nil {
		return nil, err
	}
	if version < len(ms) {
		return nil, fmt.Errorf("schema %d is older than this program's %d: start the daemon once to migrate it", version, len(ms))
	}
	return db, nil
}

func (db *DB) openRead(ctx context.Context, mode string) error {
	var err error
	if db.read, err = sql.Open("sqlite", dsn(db.path, mode, "query_only(1)")); err != nil {
		return err
	}
	n := max(4, runtime.GOMAXPROCS(0))
	db.read.SetMaxOpenConns(n)
	db.read.SetMaxIdleConns(n)
	return db.read.PingContext(ctx)
}

func dsn(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": append([]string{"busy_timeout(10000)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

// inPlace gives an error if the database is no longer what its path leads to: its folder was moved, removed, or has another file system
// mounted over it. Whoever has a file open can go on writing to it, and nobody would find that again.
func (db *DB) inPlace() error {
	now, err := os.Stat(db.path)
	if err != nil {
		return fmt.Errorf("the store is gone from its place: %w", err)
	}
	if !os.SameFile(db.opened, now) {
		return fmt.Errorf("%s is another file than the one that was opened: bring that back, or restart dewline to go on with the new one", db.path)
	}
	return nil
}

// Close commits what Record has accepted, and closes the store. It may be called more than once.
func (db *DB) Close() error {
	if db.readOnly {
		return db.closeFiles()
	}
	db.closing.Lock()
	if !db.closed {
		db.closed = true
		close(db.ops)
	}
	db.closing.Unlock()
	<-db.finished
	return db.closeFiles()
}

func (db *DB) closeFiles() error {
	errs := []error{db.held.close()}
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	if db.lock != nil {
		// The lock goes last: whoever takes it next must not find our WAL still open.
		if err := unlock(db.lock); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Dir is the absolute path of the store's folder.
func (db *DB) Dir() string { return db.dir }

// Changed is closed by the next commit of a visit, and when refused lines are released. A follower takes it anew in every turn, before it asks After: what commits
// in between then wakes it at once. Many may wait for the same one. Never nil.
func (db *DB) Changed() <-chan struct{} {
	db.wake.Lock()
	defer db.wake.Unlock()
	return db.changed
}

func (db *DB) notify() {
	db.wake.Lock()
	defer db.wake.Unlock()
	close(db.changed)
	db.changed = make(chan struct{})
}
