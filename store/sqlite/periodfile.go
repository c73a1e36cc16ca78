package sqlite

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

const (
	// periodsName is the folder of a store, and of a folder of backups, in which the files of closed days stand.
	periodsName = "periods"
	// periodPart is what files that are being written are called there.
	periodPart  = ".period-*.part"
	periodMagic = "dewline blocks 1\n"
	// blockHeader is what stands before each block: target, hour, first and last seq (8 bytes each), visits, samples, length, and a
	// CRC-32C of all this and of the block (4 bytes each), little-endian.
	blockHeader = 4*8 + 4*4
)

var isPeriod = regexp.MustCompile(`^-?\d{4,}-\d\d-\d\d-[0-9a-f]{32}\.blocks$`)

// filed is a block as it stands in a file.
type filed struct {
	target, hour, first, last int64
	visits, samples           int64
	place                     int64 // of its header
	data                      []byte
}

func (b *filed) header() []byte {
	h := make([]byte, 0, blockHeader)
	for _, n := range [...]int64{b.target, b.hour, b.first, b.last} {
		h = binary.LittleEndian.AppendUint64(h, uint64(n))
	}
	for _, n := range [...]int64{b.visits, b.samples, int64(len(b.data))} {
		h = binary.LittleEndian.AppendUint32(h, uint32(n))
	}
	return binary.LittleEndian.AppendUint32(h, crc32.Update(crc32.Checksum(h, castagnoli), castagnoli, b.data))
}

// periodWriter writes a file under a name of its own until it is finished.
type periodWriter struct {
	f    *os.File
	w    *bufio.Writer
	sum  hash.Hash
	size int64
}

// newPeriod begins a file in dir; its mode is 0600.
func newPeriod(dir string) (*periodWriter, error) {
	f, err := os.CreateTemp(dir, periodPart)
	if err != nil {
		return nil, err
	}
	p := &periodWriter{f: f, sum: sha256.New()}
	p.w = bufio.NewWriterSize(io.MultiWriter(f, p.sum), 1<<16)
	return p, p.write([]byte(periodMagic))
}

func (p *periodWriter) write(b []byte) error {
	n, err := p.w.Write(b)
	p.size += int64(n)
	return err
}

func (p *periodWriter) add(b *filed) error { return errors.Join(p.write(b.header()), p.write(b.data)) }

// finish puts the bytes on disk, and gives the name that the file is to have.
func (p *periodWriter) finish(day int64) (name string, err error) {
	if err := errors.Join(p.w.Flush(), p.f.Sync(), p.f.Close()); err != nil {
		return "", err
	}
	return hourTime(day*hoursPerDay).Format(time.DateOnly) + "-" + hex.EncodeToString(p.sum.Sum(nil))[:32] + ".blocks", nil
}

// discard takes away what was written. After a file has its name there is nothing to take away.
func (p *periodWriter) discard() {
	_ = p.f.Close()
	_ = os.Remove(p.f.Name())
}

// eachFiled calls f for every block of a file, in order. What f is given is its to keep.
func eachFiled(path string, f func(*filed) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(file, 1<<16)
	magic := make([]byte, len(periodMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != periodMagic {
		return corrupt("%s does not begin as a file of blocks", path)
	}
	for at := int64(len(periodMagic)); at < st.Size(); {
		h := make([]byte, blockHeader)
		if _, err := io.ReadFull(r, h); err != nil {
			return corrupt("%s is cut short", path)
		}
		size := int64(binary.LittleEndian.Uint32(h[40:]))
		if size > st.Size()-at-blockHeader {
			return corrupt("%s is cut short", path)
		}
		b := readHeader(h, at)
		b.data = make([]byte, size)
		if _, err := io.ReadFull(r, b.data); err != nil {
			return corrupt("%s, block at %d: %v", path, at, err)
		}
		if string(b.header()) != string(h) {
			return corrupt("%s, block at %d: checksum does not match", path, at)
		}
		if err := f(b); err != nil {
			return err
		}
		at += blockHeader + size
	}
	return nil
}

func readHeader(h []byte, at int64) *filed {
	b := &filed{place: at}
	for i, n := range [...]*int64{&b.target, &b.hour, &b.first, &b.last} {
		*n = int64(binary.LittleEndian.Uint64(h[8*i:]))
	}
	for i, n := range [...]*int64{&b.visits, &b.samples} {
		*n = int64(binary.LittleEndian.Uint32(h[32+4*i:]))
	}
	return b
}

// blockColumns are what a periodReader needs of blocks b LEFT JOIN periods p ON p.id = b.period.
const blockColumns = "b.target, b.hour, b.first_seq, b.last_seq, b.data, p.name, b.place, b.size"

// periodReader gives the bytes of blocks wherever they stand. It has one file open at most, until it is closed.
type periodReader struct {
	dir  string
	name string
	f    *os.File
}

// scan reads the columns blockColumns of a row.
func (r *periodReader) scan(rows *sql.Rows) (*filed, error) {
	var b filed
	var name sql.NullString
	var place, size sql.NullInt64
	if err := rows.Scan(&b.target, &b.hour, &b.first, &b.last, &b.data, &name, &place, &size); err != nil {
		return nil, err
	}
	if name.Valid {
		return &b, r.fill(&b, name.String, place.Int64, size.Int64)
	}
	return &b, nil
}

// fill reads b.data from a file.
func (r *periodReader) fill(b *filed, name string, place, size int64) error {
	path := filepath.Join(r.dir, name)
	if r.f == nil || r.name != name {
		r.close()
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return corrupt("%s, which holds visits of %s, is missing", path, hourTime(b.hour).Format(time.DateOnly))
		} else if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO) { // not those that pass, as of too many open files
			return corrupt("%v: it holds visits of %s", err, hourTime(b.hour).Format(time.DateOnly))
		} else if err != nil {
			return err
		}
		r.f, r.name = f, name
	}
	if size < 0 || size > maxPacked || place < 0 {
		return corrupt("block at %d of %s has %d bytes", place, path, size)
	}
	buf := make([]byte, blockHeader+size)
	if _, err := r.f.ReadAt(buf, place); errors.Is(err, io.EOF) {
		return corrupt("%s is cut short", path)
	} else if err != nil { // a disk that cannot read it any more: only these visits are to wait for that
		return corrupt("block at %d: %v", place, err)
	}
	got := readHeader(buf, place)
	got.data = buf[blockHeader:]
	if string(got.header()) != string(buf[:blockHeader]) {
		return corrupt("%s, block at %d: checksum does not match", path, place)
	}
	if got.target != b.target || got.hour != b.hour || got.first != b.first || got.last != b.last {
		return corrupt("%s, block at %d is of other visits", path, place)
	}
	b.data = got.data
	return nil
}

func (r *periodReader) close() {
	if r.f != nil {
		_ = r.f.Close() // it was only read
		r.f = nil
	}
}

// eachBlock calls f for the blocks of a target from the first to the last hour, in order, wherever their bytes stand.
func (db *DB) eachBlock(ctx context.Context, q querier, target, first, last int64, f func(hour int64, data []byte) error) error {
	r := periodReader{dir: db.periodsDir()}
	defer r.close()
	return each(ctx, q, func(rows *sql.Rows) error {
		b, err := r.scan(rows)
		if err != nil {
			return err
		}
		return f(b.hour, b.data)
	}, "SELECT "+blockColumns+` FROM blocks b LEFT JOIN periods p ON p.id = b.period
		WHERE b.target = ? AND b.hour BETWEEN ? AND ? ORDER BY b.hour, b.first_seq`, target, first, last)
}

func (db *DB) periodsDir() string { return filepath.Join(db.dir, periodsName) }
