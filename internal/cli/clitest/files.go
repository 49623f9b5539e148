package clitest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// put unpacks an honest archive.
func (s *Server) put(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refused, held := s.refused(w, true), s.holdPut
	if env := s.find(r.PathValue("env")); !refused && env != nil && env.DaemonAddress != "" {
		refused = true
		problem(w, wire.Problem{
			Title: "Service Unavailable", Status: http.StatusServiceUnavailable, Code: wire.CodeUnavailable,
			Detail: `the host "` + env.Host + `" is not one that this daemon can reach`, Hint: "ask " + env.DaemonAddress,
		})
	}
	s.mu.Unlock()
	if refused {
		return
	}
	if held {
		// Only once all is read does the server see the client go.
		_, _ = io.Copy(io.Discard, r.Body)
		s.hold(r)
		return
	}
	dir := r.URL.Query().Get("path")
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		notFound(w, "folder "+dir)
		return
	}
	if err := unpack(r.Body, dir); err != nil {
		problem(w, wire.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Code: wire.CodeInvalid, Detail: "unpack: " + err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func unpack(r io.Reader, dir string) error {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeSymlink {
			_ = os.Remove(path) // as tar does
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, path)
		default:
			var content []byte
			if content, err = io.ReadAll(tr); err == nil {
				err = os.WriteFile(path, content, h.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			return err
		}
	}
}

// get packs a file or folder. A file whose name ends in .archive is itself the answer, so that a test can send any.
func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("path")
	if _, err := os.Lstat(path); err != nil {
		notFound(w, "file "+path)
		return
	}
	s.mu.Lock()
	end := wire.CopyEnd{Problem: s.torn}
	s.torn = nil
	end.Notes, end.NoteCount, s.noted = s.noted, len(s.noted), nil
	s.mu.Unlock()
	var archive bytes.Buffer
	if strings.HasSuffix(path, ".archive") {
		content, _ := os.ReadFile(path)
		archive.Write(content)
	} else {
		tw := tar.NewWriter(&archive)
		_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return pack(tw, filepath.Dir(path), p, d)
		})
		_ = tw.Close()
	}
	end.Bytes, end.SHA256 = int64(archive.Len()), fmt.Sprintf("%x", sha256.Sum256(archive.Bytes()))
	parts := multipart.NewWriter(w)
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+parts.Boundary())
	if part, err := parts.CreatePart(nil); err == nil {
		_, _ = part.Write(archive.Bytes())
	}
	if part, err := parts.CreatePart(nil); err == nil {
		_ = json.NewEncoder(part).Encode(end)
	}
	_ = parts.Close()
}

// TearCopy lets the next copy out end with a problem, as when something inside could not be read.
func (s *Server) TearCopy(p wire.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn = &p
}

// NoteCopy lets the next copy out end with a note of a file, as when it was written to meanwhile.
func (s *Server) NoteCopy(kind, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = append(s.noted, wire.CopyNote{Path: path, Kind: kind})
}

func pack(tw *tar.Writer, base, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	if d.Type() == fs.ModeSymlink {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	if h.Name, err = filepath.Rel(base, path); err != nil {
		return err
	}
	if err := tw.WriteHeader(h); err != nil || !d.Type().IsRegular() {
		return err
	}
	content, err := os.ReadFile(path)
	if err == nil {
		_, err = tw.Write(content)
	}
	return err
}
