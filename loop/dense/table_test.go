package dense_test

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"testing"

	"peal/loop/dense"
)

var seed = maphash.MakeSeed()

type thing struct {
	name string
	hash uint64
}

func (t *thing) Is(name string) bool { return t.name == name }
func (t *thing) Hash() uint64        { return t.hash }

// table is a Table or a Large.
type table interface {
	Get(hash uint64, name string) *thing
	Add(hash uint64, e *thing)
	Remove(hash uint64, name string)
	Len() int
	All() []*thing
}

// The table has what a map has, whatever is added and removed, and however bad the hashes are.
func TestTableIsAMap(t *testing.T) {
	for name, hash := range map[string]func(string) uint64{
		"good": func(s string) uint64 { return maphash.String(seed, s) },
		"low":  func(s string) uint64 { return maphash.String(seed, s) & 0xff },
		"high": func(s string) uint64 { return maphash.String(seed, s) &^ (1<<60 - 1) },
		"one":  func(string) uint64 { return 7 },
	} {
		for what, table := range map[string]table{"table": new(dense.Table[string, *thing]), "large": new(dense.Large[string, *thing])} {
			t.Run(name+"/"+what, func(t *testing.T) {
				model := map[string]*thing{}
				random := rand.New(rand.NewPCG(1, 2))
				steps, names := 60_000, 3000
				if name == "one" {
					steps, names = 6000, 700 // more than the distance that a place can tell
				}
				for i := range steps {
					key := fmt.Sprint(random.IntN(names))
					if i > steps/2 && i < steps*3/4 {
						key = fmt.Sprint(random.IntN(names / 20)) // most go
					}
					if got := table.Get(hash(key), key); got != model[key] {
						t.Fatalf("step %d: %s is %v, want %v", i, key, got, model[key])
					}
					switch gone := i > steps/2 && i < steps*3/4; {
					case model[key] != nil && (gone || random.IntN(2) == 0):
						table.Remove(hash(key), key)
						delete(model, key)
					case model[key] == nil && !gone:
						model[key] = &thing{key, hash(key)}
						table.Add(hash(key), model[key])
					default:
						table.Remove(hash("none of them"), "none of them")
					}
					if table.Len() != len(model) {
						t.Fatalf("step %d: %d entries, want %d", i, table.Len(), len(model))
					}
					if i == steps/2 { // most are removed, one after the other
						for key := range model {
							if len(model) < 20 {
								break
							}
							table.Remove(hash(key), key)
							delete(model, key)
						}
					}
				}
				seen := map[*thing]bool{}
				for _, e := range table.All() {
					if seen[e] || model[e.name] != e {
						t.Errorf("%v is among all, and should not", e)
					}
					seen[e] = true
				}
				if len(seen) != len(model) {
					t.Errorf("%d entries in all, want %d", len(seen), len(model))
				}
			})
		}
	}
}

// An entry takes about 13 bytes, and after a burst its memory is given back.
func TestTableIsSmall(t *testing.T) {
	all := make([]thing, 200_000)
	for i := range all {
		name := fmt.Sprint(i)
		all[i] = thing{name, maphash.String(seed, name)}
	}
	var table dense.Table[string, *thing]
	before := heap()
	bytes := func() int { return (int(heap()) - int(before)) }
	most := 0
	for i := range all {
		table.Add(all[i].hash, &all[i])
		if n := i + 1; n == 100_000 || n == 120_000 || n == 150_000 || n == 200_000 {
			most = max(most, bytes()/n)
		}
	}
	if most > 15 {
		t.Errorf("%d bytes for an entry, want at most 15", most)
	}
	for i := range all[10:] {
		table.Remove(all[i].hash, all[i].name)
	}
	if got := bytes(); got > 256<<10 { // of 2.6 MB
		t.Errorf("%d bytes for ten entries after a burst", got)
	}
	runtime.KeepAlive(&table)
	runtime.KeepAlive(all)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{100, 4000, 1_000_000} {
		names := make([]string, 2*n)
		var table dense.Table[string, *thing]
		asMap := map[string]*thing{}
		for i := range names {
			names[i] = fmt.Sprintf("channel-%08d", i)
			if i < n {
				e := &thing{names[i], maphash.String(seed, names[i])}
				table.Add(e.hash, e)
				asMap[e.name] = e
			}
		}
		for what, from := range map[string]int{"there": 0, "not there": n} {
			b.Run(fmt.Sprintf("entries=%d/%s/table", n, what), func(b *testing.B) {
				for i := range b.N {
					name := names[from+i*7919%n]
					table.Get(maphash.String(seed, name), name)
				}
			})
			b.Run(fmt.Sprintf("entries=%d/%s/map", n, what), func(b *testing.B) {
				for i := range b.N {
					_ = asMap[names[from+i*7919%n]]
				}
			})
		}
	}
}
