package certificate

import (
	"crypto/tls"
	"os"
	"slices"
	"strings"
	"syscall"
)

// watch is what is known of the files of a Store.
type watch struct {
	seen    []stamp // at the last attempt to read them
	unsound bool    // that attempt failed, and is repeated once
}

// stamp changes when a file is replaced or written to, also by a link to another.
type stamp struct {
	path          string
	device, inode uint64
	size          int64
	modified      syscall.Timespec
	changed       syscall.Timespec // also by a change of owner or mode
}

func stamps(paths []string) []stamp {
	all := make([]stamp, len(paths))
	for i, path := range paths {
		all[i].path = path
		if info, err := os.Stat(path); err == nil { // a file that is missing has its path only
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				all[i] = stamp{path, st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
			}
		}
	}
	return all
}

func paths(pairs []Pair, clientCA string) (all []string) {
	for _, p := range pairs {
		all = append(all, p.Cert, p.Key)
	}
	if clientCA != "" {
		all = append(all, clientCA)
	}
	return all
}

func (s *Store) paths() []string { return paths(s.pairs, s.ca) }

// look reads the files again if they have changed. A fault is logged when the files have
// stayed as they are until the next look: before, they may be half-written.
func (s *Store) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := stamps(s.paths())
	fresh := !slices.Equal(now, s.watch.seen)
	if !fresh && !s.watch.unsound {
		return
	}
	c := s.base
	c.Pairs, c.ClientCA = s.pairs, s.ca
	files, client, err := s.load(c)
	s.watch = watch{seen: now, unsound: err != nil && fresh}
	switch {
	case err == nil:
		s.use(files, client)
		s.reloads.Add(1)
		s.base.Log.Info("certificates reloaded: their files have changed", "names", strings.Join(namesOf(files), " "))
	case !fresh:
		s.failures.Add(1)
		s.base.Log.Warn("certificates not reloaded, the old ones stay: the new files have a fault", "error", err)
	}
}

func namesOf(files []*tls.Certificate) (names []string) {
	for _, f := range files {
		names = append(names, name(f.Leaf))
	}
	return names
}
