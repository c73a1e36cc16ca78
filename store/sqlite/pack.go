package sqlite

import (
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The first byte of everything packed: version and compression in one.
const (
	packPlain = 1
	packZstd  = 2
)

const (
	packHeader = 5
	// maxPacked bounds what one packed value may unpack to. A block of the largest size is under half of it.
	maxPacked = 64 << 20
	// Below zstdFrom bytes the frame and tables of zstd eat what it saves.
	zstdFrom = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// coder holds the zstd halves. EncodeAll and DecodeAll may be called from many goroutines.
var coder = sync.OnceValue(func() (c struct {
	fast, best *zstd.Encoder
	dec        *zstd.Decoder
}) {
	// The options are constants, so no error is possible; our own checksum covers plain values too.
	c.fast, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10))
	c.best, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	c.dec, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPacked))
	return c
})

// pack frames b with a version byte and a checksum of the plain bytes, compressed if that makes it an eighth smaller.
func pack(b []byte, best bool) []byte {
	out := make([]byte, packHeader, packHeader+len(b))
	out[0] = packPlain
	binary.LittleEndian.PutUint32(out[1:], crc32.Checksum(b, castagnoli))
	if len(b) >= zstdFrom {
		enc := coder().fast
		if best {
			enc = coder().best
		}
		out = enc.EncodeAll(b, out)
		if len(out)-packHeader <= len(b)-len(b)/8 {
			out[0] = packZstd
			return out
		}
		out = out[:packHeader]
	}
	return append(out, b...)
}

// unpack gives back what pack framed. The result may share b's memory.
func unpack(b []byte) ([]byte, error) {
	if len(b) < packHeader {
		return nil, corrupt("packed value of %d bytes", len(b))
	}
	plain := b[packHeader:]
	switch b[0] {
	case packPlain:
	case packZstd:
		var err error
		if plain, err = coder().dec.DecodeAll(plain, nil); err != nil {
			return nil, corrupt("decompress: %v", err)
		}
	default:
		return nil, corrupt("packed value of unknown version %d", b[0])
	}
	if crc32.Checksum(plain, castagnoli) != binary.LittleEndian.Uint32(b[1:]) {
		return nil, corrupt("checksum does not match")
	}
	return plain, nil
}
