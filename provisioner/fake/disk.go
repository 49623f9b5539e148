package fake

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// pollShared is how often a waiting call looks at a folder that other processes may write to.
const pollShared = 50 * time.Millisecond

// disk is the folder of a world, or nothing (dir ""). A lock keeps processes
// apart; a counter in the lock file tells them that something was written. It is
// raised before each write, so that one who is killed in between costs the
// others no more than a needless look.
type disk struct {
	dir        string
	file       *os.File
	generation uint64
	// broken is why the folder cannot be used.
	broken error
}

func openDisk(dir string) *disk {
	d := &disk{dir: dir}
	if dir == "" {
		return d
	}
	if d.broken = os.MkdirAll(dir, 0o700); d.broken == nil {
		d.file, d.broken = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	return d
}

// lock takes the folder and reports whether it must be read anew.
func (d *disk) lock() (stale bool, err error) {
	if d.broken != nil {
		return false, fmt.Errorf("open folder of the fake provider: %w", d.broken)
	}
	if d.file == nil {
		return false, nil
	}
	for {
		err = syscall.Flock(int(d.file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("lock the fake provider: %w", err)
	}
	var b [8]byte
	if _, err := d.file.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		d.unlock()
		return false, fmt.Errorf("read generation of the fake provider: %w", err)
	}
	// A new folder begins at 0, as the counter in memory does; a folder in use is past it.
	generation := binary.BigEndian.Uint64(b[:])
	stale = generation != d.generation
	d.generation = generation
	return stale, nil
}

func (d *disk) unlock() {
	if d.file != nil {
		// Unlocking an open file of our own has no way to fail that anyone could act on.
		_ = syscall.Flock(int(d.file.Fd()), syscall.LOCK_UN)
	}
}

// touch raises the generation; before each write.
func (d *disk) touch() error {
	d.generation++
	if d.file == nil {
		return nil
	}
	if _, err := d.file.WriteAt(binary.BigEndian.AppendUint64(nil, d.generation), 0); err != nil {
		return fmt.Errorf("write generation of the fake provider: %w", err)
	}
	return nil
}

// pause waits for a change, or for a look at a shared folder to be due.
func (w *World) pause(ctx context.Context, changed <-chan struct{}) error {
	var tick <-chan time.Time
	if w.disk.file != nil {
		timer := time.NewTimer(pollShared)
		defer timer.Stop()
		tick = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-tick:
	}
	return nil
}

// table is rows by key, each also a file when the disk is one. onChange keeps
// indexes; it sees zero values for rows that were or are not there.
type table[T any] struct {
	disk     *disk
	folder   string
	rows     map[string]T
	stamps   map[string]stamp
	onChange func(old, now T)
}

// stamp recognises a file that has not changed: a rename gives a new inode.
type stamp struct {
	inode uint64
	mtime int64
	size  int64
}

func newTable[T any](d *disk, folder string, onChange func(old, now T)) *table[T] {
	t := &table[T]{disk: d, rows: map[string]T{}, stamps: map[string]stamp{}, onChange: onChange}
	if d.dir != "" {
		t.folder = filepath.Join(d.dir, folder)
	}
	if onChange == nil {
		t.onChange = func(T, T) {}
	}
	return t
}

func (t *table[T]) put(key string, row T) error {
	if err := t.disk.touch(); err != nil {
		return err
	}
	if t.folder != "" {
		if err := t.write(key, row); err != nil {
			return fmt.Errorf("write a file of the fake provider: %w", err)
		}
	}
	old := t.rows[key]
	t.rows[key] = row
	t.onChange(old, row)
	return nil
}

func (t *table[T]) drop(key string) error {
	if _, there := t.rows[key]; !there {
		return nil
	}
	if err := t.disk.touch(); err != nil {
		return err
	}
	if t.folder != "" {
		if err := os.Remove(t.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a file of the fake provider: %w", err)
		}
	}
	t.forget(key)
	return nil
}

func (t *table[T]) forget(key string) {
	var none T
	old := t.rows[key]
	delete(t.rows, key)
	delete(t.stamps, key)
	t.onChange(old, none)
}

func (t *table[T]) path(key string) string {
	return filepath.Join(t.folder, url.PathEscape(key)+".json")
}

func (t *table[T]) write(key string, row T) error {
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	path := t.path(key)
	temporary := path + ".new"
	err = os.WriteFile(temporary, text, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(t.folder, 0o700); err == nil {
			err = os.WriteFile(temporary, text, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	t.stamps[key] = stampOf(info)
	return nil
}

// load reads what other processes have changed.
func (t *table[T]) load() error {
	entries, err := os.ReadDir(t.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list files of the fake provider: %w", err)
	}
	there := map[string]bool{}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue // the unfinished write of a process that was killed
		}
		key, err := url.PathUnescape(name)
		if err != nil {
			return fmt.Errorf("read name of %s: %w", entry.Name(), err)
		}
		there[key] = true
		if err := t.refresh(key, entry); err != nil {
			return fmt.Errorf("read a file of the fake provider: %w", err)
		}
	}
	for key := range t.rows {
		if !there[key] {
			t.forget(key)
		}
	}
	return nil
}

func (t *table[T]) refresh(key string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if t.stamps[key] == stampOf(info) {
		return nil
	}
	text, err := os.ReadFile(t.path(key))
	if err != nil {
		return err
	}
	var row T
	if err := json.Unmarshal(text, &row); err != nil {
		return fmt.Errorf("%s: %w", t.path(key), err)
	}
	old := t.rows[key]
	t.rows[key] = row
	t.stamps[key] = stampOf(info)
	t.onChange(old, row)
	return nil
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{mtime: info.ModTime().UnixNano(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}
