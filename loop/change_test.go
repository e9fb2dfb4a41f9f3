package loop_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/deflate"
	"peal/loop/fanout"
	"peal/loop/frame"
)

func someConn() loop.ConnState {
	id := [16]byte{7}
	return loop.ConnState{
		Socket: 5, Loop: 1, Session: 4711, Kind: loop.KindWebSocket, Dialect: "raw",
		Peer: netip.MustParseAddrPort("127.0.0.1:5000"), Client: netip.MustParseAddrPort("10.0.0.1:7"),
		Receives: fanout.MemberState{
			Adopted: &id, Channels: []string{"a", "b"}, Encoding: "raw", Position: 1 << 40, Told: []uint64{1, 2}, Had: []uint64{3, 4}, Skip: []uint64{5, 6},
			Live: true, Summed: true, Sum: deflate.Sum{CRC: 0xfedcba98, Length: 77}, Origin: "o", Private: []byte("p"),
		},
		Front: []byte("front"), Input: []byte("in"), Reader: &frame.State{Kept: 3},
		Timer: 3*time.Second + 7, Deadline: time.Hour, Silent: 2 * time.Second, Missed: 1, InflowBytes: 12, InflowFrames: 1 << 31,
	}
}

// A change says all that differs, or says that it does not: each field of a connection is
// set to another value, and what comes out there must be what went in here.
func TestChangesSayAllOrNothing(t *testing.T) {
	told, passed := 0, 0
	var each func(path string, of func(h *loop.ConnState) reflect.Value)
	try := func(path string, set func(v reflect.Value), of func(h *loop.ConnState) reflect.Value) {
		since, now, there := someConn(), someConn(), someConn()
		set(of(&now))
		b, ok := now.AppendChange([]byte("before"), &since)
		if !ok {
			if string(b) != "before" {
				t.Errorf("%s: %q was appended, though it is not the whole change", path, b)
			}
			passed++
			return
		}
		told++
		rest, err := there.Change(append(b[len("before"):], "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Fatalf("%s: rest %q, %v", path, rest, err)
		}
		if !reflect.DeepEqual(there, now) {
			t.Errorf("%s: became\n%+v\ninstead of\n%+v", path, there, now)
		}
	}
	each = func(path string, of func(h *loop.ConnState) reflect.Value) {
		sample := someConn()
		v := of(&sample)
		switch v.Kind() {
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[netip.AddrPort]() {
				try(path, func(v reflect.Value) { v.Set(reflect.ValueOf(netip.MustParseAddrPort("[::1]:9"))) }, of)
				return
			}
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					each(path+"."+f.Name, func(h *loop.ConnState) reflect.Value { return of(h).Field(i) })
				}
			}
		case reflect.Bool:
			try(path, func(v reflect.Value) { v.SetBool(!v.Bool()) }, of)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			try(path, func(v reflect.Value) { v.SetUint(v.Uint() + 1) }, of)
			try(path, func(v reflect.Value) { v.SetUint(0) }, of)
			try(path, func(v reflect.Value) { v.SetUint(1<<(8*v.Type().Size()) - 1) }, of)
		case reflect.Int32, reflect.Int64, reflect.Int:
			try(path, func(v reflect.Value) { v.SetInt(v.Int() + 1) }, of)
			try(path, func(v reflect.Value) { v.SetInt(-5) }, of)
		case reflect.String:
			try(path, func(v reflect.Value) { v.SetString(v.String() + "x") }, of)
		case reflect.Slice:
			try(path, func(v reflect.Value) { v.SetZero() }, of)
			try(path, func(v reflect.Value) { v.Set(reflect.AppendSlice(v, v)) }, of)
			try(path, func(v reflect.Value) { // one element differs
				same := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
				reflect.Copy(same, v)
				same.Index(v.Len() - 1).SetZero()
				v.Set(same)
			}, of)
		case reflect.Pointer:
			try(path, func(v reflect.Value) { v.SetZero() }, of)
			try(path, func(v reflect.Value) { v.Set(reflect.New(v.Type().Elem())) }, of)
		default:
			t.Errorf("%s: this test knows no other value of a %v", path, v.Kind())
		}
	}
	each("", func(h *loop.ConnState) reflect.Value { return reflect.ValueOf(h).Elem() })
	if told < 15 || passed < 50 {
		t.Errorf("%d changes were told, and %d not: this test compares little", told, passed)
	}
}

// A change that was cut, or is of another connection, is an error, and never out of range.
func TestDamagedChanges(t *testing.T) {
	since, now := someConn(), someConn()
	now.Receives.Position++
	whole, ok := now.AppendChange(nil, &since)
	if !ok {
		t.Fatal("a position alone cannot be told")
	}
	for n := range whole {
		there := someConn()
		if _, err := there.Change(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken", n, len(whole))
		}
	}
	plain := someConn()
	plain.Receives.Summed = false
	if _, err := plain.Change(whole); err == nil {
		t.Error("a connection without a sum takes one")
	}
}
