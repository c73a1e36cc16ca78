package capture

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// part of a tar archive.
type file struct {
	name string
	data []byte
	kind byte
	size int64 // claimed; 0: true
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range files {
		if f.kind == 0 {
			f.kind = tar.TypeReg
		}
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Size: max(f.size, int64(len(f.data))), Linkname: map[bool]string{true: "/etc/passwd"}[f.kind == tar.TypeSymlink]}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if f.size <= int64(len(f.data)) {
			if _, err := w.Write(f.data); err != nil {
				t.Fatal(err)
			}
		} else { // ends early
			_ = w.Flush()
			_ = z.Close()
			return out.Bytes()
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// manifestFor vouches for entries.
func manifestFor(t testing.TB, change func(*Manifest), files ...file) file {
	t.Helper()
	m := Manifest{Format: FormatVersion, Protocol: ProtocolRedfish, Time: began}
	for _, f := range files {
		h := sha256.Sum256(f.data)
		m.Entries = append(m.Entries, Entry{Name: f.name, Bytes: int64(len(f.data)), SHA256: hex.EncodeToString(h[:])})
	}
	if change != nil {
		change(&m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file{name: manifestName, data: b}
}

func TestHostileFilesAreRefused(t *testing.T) {
	index := file{name: redfishName, data: []byte(`{"documents":[{"url":"/redfish/v1","status":200,"entry":"redfish/v1/index.json"}],"logins":[]}`)}
	root := file{name: "redfish/v1/index.json", data: []byte(`{"@odata.id":"/redfish/v1"}`)}
	good := archive(t, manifestFor(t, nil, index, root), index, root)
	if r, err := Read(bytes.NewReader(good)); err != nil || len(r.Documents) != 1 {
		t.Fatalf("the good one: %v", err)
	}
	withName := func(name string) []byte {
		f := file{name: name, data: []byte("{}")}
		return archive(t, manifestFor(t, nil, index, root, f), index, root, f)
	}
	bad := map[string]struct {
		data []byte
		err  error
		says string
	}{
		"nothing":                       {nil, ErrNoRecording, "not a .tar.gz"},
		"a text":                        {[]byte("hello"), ErrNoRecording, "not a .tar.gz"},
		"gzip of a text":                {zipped(t, []byte("hello, this is no archive")), ErrNoRecording, ""},
		"an archive of something else":  {archive(t, file{name: "a.txt", data: []byte("x")}), ErrNoRecording, "no Redfish mock-up"},
		"cut in the middle":             {good[:len(good)/2], ErrDamaged, ""},
		"cut before its checksum":       {good[:len(good)-6], ErrDamaged, ""},
		"a newer format":                {archive(t, manifestFor(t, func(m *Manifest) { m.Format = 99 }, index, root), index, root), ErrNewer, "format 99"},
		"no format":                     {archive(t, file{name: manifestName, data: []byte("{}")}), ErrNoRecording, "without a format"},
		"a manifest that is no JSON":    {archive(t, file{name: manifestName, data: []byte("{")}), ErrDamaged, manifestName},
		"an unknown protocol":           {archive(t, manifestFor(t, func(m *Manifest) { m.Protocol = "snmp" }, index, root), index, root), ErrDamaged, "protocol"},
		"an entry that is not listed":   {archive(t, manifestFor(t, nil, index), index, root), ErrDamaged, "not in the manifest"},
		"an entry that is missing":      {archive(t, manifestFor(t, nil, index, root), index), ErrDamaged, "1 of 2 entries"},
		"an entry twice":                {archive(t, manifestFor(t, nil, index, root), index, index, root), ErrDamaged, "there twice"},
		"listed twice":                  {archive(t, manifestFor(t, nil, index, root, root), index, root), ErrDamaged, "bad entry"},
		"other bytes than vouched for":  {archive(t, manifestFor(t, nil, index, file{name: root.name, data: bytes.Repeat([]byte("x"), len(root.data))}), index, root), ErrDamaged, "SHA-256"},
		"another length than listed":    {archive(t, manifestFor(t, nil, index, file{name: root.name, data: []byte("{}")}), index, root), ErrDamaged, "the manifest says"},
		"a path that climbs":            {withName("../../etc/cron.d/x"), ErrDamaged, "bad entry"},
		"an absolute path":              {withName("/etc/passwd"), ErrDamaged, "bad entry"},
		"a path with a backslash":       {withName(`..\x`), ErrDamaged, "bad entry"},
		"a symbolic link":               {archive(t, manifestFor(t, nil, file{name: redfishName}, root), file{name: redfishName, kind: tar.TypeSymlink}, root), ErrDamaged, "no regular file"},
		"a document without its entry":  {archive(t, manifestFor(t, nil, index), index), ErrDamaged, "is missing"},
		"an entry that claims 1 TiB":    {archive(t, file{name: manifestName, data: []byte("{}"), size: 1 << 40}), ErrDamaged, "at most"},
		"no index":                      {archive(t, manifestFor(t, nil, root), root), ErrDamaged, "it is missing"},
		"a mock-up with a file twice":   {archive(t, file{name: "m/index.json", data: []byte("{}")}, file{name: "m/index.json", data: []byte("{}")}), ErrDamaged, "there twice"},
		"a mock-up that claims 1 TiB":   {archive(t, file{name: "m/index.json", data: []byte("{}"), size: 1 << 40}), ErrDamaged, "larger than"},
		"a recording without manifest":  {archive(t, index, root), ErrDamaged, "a recording of dewline that was changed"},
		"a manifest at the end":         {archive(t, index, root, manifestFor(t, nil, index, root)), ErrDamaged, "does not begin with manifest.json"},
		"one URL for two documents":     {twice(t, root), ErrDamaged, "bad document"},
		"a manifest of 64 MiB of zeros": {archive(t, file{name: manifestName, data: make([]byte, 1<<20)}), ErrDamaged, manifestName},
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			r, err := Read(bytes.NewReader(c.data))
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v; want %v: %s", r, err, c.err, c.says)
			}
		})
	}
}

func TestAFolderThatARecordingWasUnpackedToIsNoMockUp(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{manifestName, redfishName, "redfish/v1/index.json"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Open(dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "a recording of dewline that was changed") {
		t.Errorf("%v, %v", r, err)
	}
}

func TestWhatUnpacksToTooMuchIsRefused(t *testing.T) {
	sizes := map[string][2]int64{"10 MiB of zeros where 8 may be": {8 << 20, 2 << 20}}
	if os.Getenv("DEWLINE_LONG") != "" {
		sizes["576 MiB of zeros where 512 may be"] = [2]int64{maxTotal, maxEntry}
	}
	for name, c := range sizes {
		t.Run(name, func(t *testing.T) {
			r, err := read(bytes.NewReader(bomb(t, c[0], c[1])), c[0])
			if want := strconv.FormatInt(c[0]>>20, 10) + " MiB"; !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %v; want %v: %s", r, err, ErrDamaged, want)
			}
		})
	}
}

func twice(t *testing.T, root file) []byte {
	index := file{name: redfishName, data: []byte(`{"documents":[{"url":"/redfish/v1","status":200,"entry":"redfish/v1/index.json"},{"url":"/redfish/v1","status":200}],"logins":[]}`)}
	return archive(t, manifestFor(t, nil, index, root), index, root)
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb is a mock-up of small size whose files are large, none of them too large alone. A gzip file may have many members: the
// zeros are compressed once.
// bomb is a mock-up of zeros, one entry more than the total bears.
func bomb(t *testing.T, total, entry int64) []byte {
	t.Helper()
	var zeros bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zeros, gzip.BestSpeed)
	for range entry >> 20 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for i := range int(total/entry) + 1 {
		var h bytes.Buffer
		if err := tar.NewWriter(&h).WriteHeader(&tar.Header{Name: "m/" + itoa(i) + "/index.json", Typeflag: tar.TypeReg, Size: entry}); err != nil {
			t.Fatal(err)
		}
		out.Write(zipped(t, h.Bytes()))
		out.Write(zeros.Bytes())
	}
	return out.Bytes()
}

func TestMockupsAreRead(t *testing.T) {
	root, system := []byte(`{"@odata.id":"/redfish/v1/"}`), []byte(`{"Id":"1"}`)
	want := func(t *testing.T, r *Recording, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		urls := map[string]bool{}
		for _, d := range r.Documents {
			urls[d.URL] = true
		}
		if len(urls) != 2 || !urls["/redfish/v1"] || !urls["/redfish/v1/Systems/1"] {
			t.Errorf("documents %v", urls)
		}
	}
	for name, prefix := range map[string]string{"short form": "server/", "long form": "redfish/v1/", "long form in a folder": "server/redfish/v1/", "with ./ before": "./server/"} {
		t.Run(name, func(t *testing.T) {
			r, err := Read(bytes.NewReader(archive(t, file{name: prefix + "index.json", data: root}, file{name: prefix + "Systems/1/index.json", data: system}, file{name: prefix + "README.md", data: []byte("x")})))
			want(t, r, err)
		})
	}
	t.Run("a folder", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "server")
		if err := os.MkdirAll(filepath.Join(dir, "Systems", "1"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"index.json": root, "Systems/1/index.json": system} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "Systems", "index.json")); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir)
		want(t, r, err)
	})
}

func FuzzRead(f *testing.F) {
	index := file{name: redfishName, data: []byte(`{"documents":[{"url":"/redfish/v1","status":200,"entry":"redfish/v1/index.json"}],"logins":[]}`)}
	root := file{name: "redfish/v1/index.json", data: []byte(`{"@odata.id":"/redfish/v1"}`)}
	for _, b := range [][]byte{archive(f, manifestFor(f, nil, index, root), index, root), archive(f, file{name: "m/index.json", data: []byte("{}")}), zipped(f, []byte("x"))} {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		r, err := Read(bytes.NewReader(zipped(t, plain)))
		if err == nil && r.IPMI == nil && len(r.Documents) > maxExchanges {
			t.Error("out of bounds")
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrNoRecording) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

// FuzzRedact: whatever a BMC says, redaction does not panic, keeps whole JSON whole, and leaves no secret.
func FuzzRedact(f *testing.F) {
	for _, d := range planted {
		f.Add([]byte(d))
	}
	f.Add([]byte(`{"a":"\ud800\u0022","b":[[[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSecrets([]string{"hunter2-Pass"})
		l := newLedger(make([]byte, 32))
		l.collect(b)
		l.settle()
		out := l.rewrite(s.json(bytes.Clone(b)))
		if json.Valid(b) && !json.Valid(out) {
			t.Errorf("%q became %q", b, out)
		}
		var v any
		if json.Unmarshal(out, &v) == nil {
			if text, err := json.Marshal(v); err == nil && bytes.Contains(text, []byte("hunter2-Pass")) {
				t.Errorf("the secret is left in %s", text)
			}
		}
	})
}
