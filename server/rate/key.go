package rate

import "hash/maphash"

// Kind is what is limited.
type Kind uint8

const (
	Connection Kind = iota // a connection
	Backend                // a key of a backend, on all of its connections
	User                   // a user, on all of its connections
	Channel                // a connection or user on one channel, by the rule of the channel
	kinds
)

// kindNames are the values of a label of metrics.
var kindNames = [kinds]string{"connection", "key", "user", "channel"}

func (k Kind) String() string { return kindNames[k] }

// Key stands for one bucket: a hash with a secret seed, so that nobody can choose
// names whose buckets are in one place. Two names have the same key, and then the
// same bucket, once in about 2^64.
type Key uint64

// Number is the key of something with a number, such as the session of a connection.
func (t *Table) Number(k Kind, number uint64) Key {
	return Key(maphash.Comparable(t.seeds[k], number))
}

// Name is the key of something with a name.
func (t *Table) Name(k Kind, name string) Key { return Key(maphash.String(t.seeds[k], name)) }

// On is the key of whatever has the key k, on one channel.
func (t *Table) On(k Key, channel string) Key { return k ^ t.Name(Channel, channel) }
