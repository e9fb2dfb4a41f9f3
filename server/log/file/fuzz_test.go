package file_test

import (
	"errors"
	"testing"

	"peal/server/log/file"
)

// Whatever a segment's bytes are, the start either says what is wrong or goes
// on with records that were in them; and what it goes on with is whole.
func FuzzSegment(f *testing.F) {
	fs := newDir()
	l, _ := mustOpen(f, fs, file.Config{})
	for _, data := range []string{"", "x", "a longer one"} {
		appendOne(f, l, data)
	}
	mustClose(f, l)
	name := fs.segments()[0]
	whole := fs.names[name].now
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:headerBytes])
	f.Add([]byte("PEALLOG\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		fs := newDir()
		fs.put(name, content)
		report, err := file.ReadOn(fs)
		l, restored, openErr := openAll(fs, file.Config{}, &tail{})
		if openErr != nil {
			if _, damage := errors.AsType[*file.DamageError](openErr); damage != (len(report.Damage) > 0) {
				t.Errorf("opening says %v, reading %v and %v", openErr, report.Damage, err)
			}
			return
		}
		if err != nil || len(report.Damage) > 0 || report.Segments[0].Last != uint64(len(restored)) {
			t.Errorf("%d restored, the report is %+v, %v", len(restored), report, err)
		}
		mustClose(t, l)
		if report, err := file.ReadOn(fs); err != nil || !report.ClosedWell || report.Torn != 0 || len(report.Damage) > 0 {
			t.Errorf("after a good stop: %+v, %v", report, err)
		}
	})
}
