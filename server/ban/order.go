package ban

// Indexes of ban.places, one for each order.
const (
	inAll = iota // of all bans
	inOwn        // of those of the share
	orders
)

// order is a heap of bans, the first to end in front; of those that end together
// the first by name. It implements heap.Interface.
type order struct {
	bans  []*ban
	index int
}

func (o *order) Len() int { return len(o.bans) }

func (o *order) Less(i, j int) bool {
	a, b := o.bans[i], o.bans[j]
	return a.until.Before(b.until) || a.until.Equal(b.until) && a.client < b.client
}

func (o *order) Swap(i, j int) {
	o.bans[i], o.bans[j] = o.bans[j], o.bans[i]
	o.bans[i].places[o.index], o.bans[j].places[o.index] = i, j
}

func (o *order) Push(x any) {
	b := x.(*ban)
	b.places[o.index] = len(o.bans)
	o.bans = append(o.bans, b)
}

func (o *order) Pop() any {
	last := len(o.bans) - 1
	b := o.bans[last]
	o.bans[last] = nil
	o.bans = o.bans[:last]
	return b
}
