package tarstream

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/sparsetar"
)

// maxParts bounds the parts of one file with holes.
const maxParts = 20_000

// storedParts reads a sparse map of a file of size bytes, and says why it is none. The parts are made to begin and end at blocks, as
// GNU tar wants them: it reads whole blocks for each.
func storedParts(text string, size int64) (parts []sparsetar.Part, total int64, why string) {
	fields := strings.Split(text, ",")
	if len(fields)%2 != 0 || len(fields)/2 > maxParts {
		return nil, 0, fmt.Sprintf("its map of holes has %d numbers, want pairs of them, at most %d", len(fields), maxParts)
	}
	end := int64(0)
	for i := 0; i < len(fields); i += 2 {
		at, err := strconv.ParseInt(fields[i], 10, 64)
		length, err2 := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil || err2 != nil || at < end || length < 0 || at > size || length > size-at {
			return nil, 0, "its map of holes is wrong"
		}
		end = at + length
		if length == 0 {
			continue // the last one only says where the file ends
		}
		from, to := at-at%sparsetar.Block, min(end+(sparsetar.Block-end%sparsetar.Block)%sparsetar.Block, size)
		if last := len(parts) - 1; last >= 0 && parts[last].At+parts[last].Length >= from {
			total += to - (parts[last].At + parts[last].Length)
			parts[last].Length = to - parts[last].At
			continue
		}
		parts, total = append(parts, sparsetar.Part{At: from, Length: to - from}), total+to-from
	}
	return parts, total, ""
}

// sparseFile writes a file with holes, whose content in has zeros for them. A tar that knows no holes gets the zeros.
func sparseFile(out *tar.Writer, to io.Writer, clean *tar.Header, in io.Reader, parts []sparsetar.Part, total int64) error {
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := to.Write(sparsetar.Header(clean, parts)); err != nil {
		return &sinkError{err}
	}
	at := int64(0)
	for _, p := range parts {
		// The holes are read, too: they are zeros that the reader makes.
		if _, err := io.CopyN(io.Discard, in, p.At-at); err != nil {
			return unexpected(err)
		}
		if _, err := io.CopyN(onlyWriter{to}, in, p.Length); err != nil {
			return unexpected(err)
		}
		at = p.At + p.Length
	}
	if _, err := to.Write(sparsetar.Padding(total)); err != nil {
		return &sinkError{err}
	}
	return nil
}

// unexpected makes an end of content that is too early one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
