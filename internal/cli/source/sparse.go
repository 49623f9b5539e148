package source

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"

	"github.com/bothy-env/bothy/internal/sparsetar"
)

const (
	// maxStored limits the data ranges of a sparse file; a file with more is sent with its zeros.
	maxStored = 10_000
	// leastHoles is the minimum size of all holes of a file for keeping them, in bytes.
	leastHoles = 1 << 20
)

// storedParts finds the data ranges of a sparse file; nil if the file is better sent as a plain file.
func storedParts(f *os.File, info fs.FileInfo) []sparsetar.Part {
	if !sparseInfo(info) {
		return nil
	}
	parts, saved := []sparsetar.Part{}, info.Size()
	for at := int64(0); at < info.Size(); {
		from, to, err := nextData(f, at)
		if err != nil || len(parts) == maxStored {
			return nil
		}
		if from >= info.Size() {
			break
		}
		to = min(to, info.Size())
		if to <= from {
			return nil // an inconsistent file system
		}
		parts = append(parts, sparsetar.Part{At: from, Length: to - from})
		saved -= to - from
		at = to
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil || saved < leastHoles {
		return nil
	}
	return parts
}

// sparse writes a sparse file.
func (p *packer) sparse(f *os.File, info fs.FileInfo, name string, parts []sparsetar.Part) error {
	if err := p.tar.Flush(); err != nil {
		return err
	}
	header := &tar.Header{Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	if _, err := p.w.Write(sparsetar.Header(header, parts)); err != nil {
		return err
	}
	begun, total, missing := p.done, int64(0), int64(0)
	for _, part := range parts {
		total += part.Length
		p.done = begun + part.At
		n, err := io.Copy(plain{p}, io.NewSectionReader(f, part.At, part.Length))
		if err == nil && n < part.Length {
			missing += part.Length - n
			_, err = io.CopyN(plain{p}, zeros{}, part.Length-n)
		}
		if err != nil {
			return err
		}
	}
	p.done = begun + info.Size()
	p.report.bytes(p.done)
	if _, err := p.w.Write(sparsetar.Padding(total)); err != nil {
		return err
	}
	if missing > 0 || changed(f, info) {
		p.report.changed(name, missing)
	}
	return nil
}

// plain writes content directly, bypassing archive/tar.
type plain struct{ p *packer }

func (w plain) Write(b []byte) (int, error) {
	n, err := w.p.w.Write(b)
	w.p.done += int64(n)
	w.p.report.bytes(w.p.done)
	return n, err
}
