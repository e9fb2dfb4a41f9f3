package document

// reasons say why we lose, by the beginning of the loss' key: that of an
// experiment (scripts/bench.sh --list), or peers-NAME-FIGURE. The longest counts.
var reasons = map[string]string{
	"publish": "Each costs two sends, the delivery and the answer, and a bare send is in the line above the table. A profile has 69 % of the time in system " +
		"calls, 63 % in `send`; the append with its history 6 %, the fan-out 5 %, parsing 3 %. Only sending in batches (io_uring) would change that. The target was set on a " +
		"machine whose sends cost less.",
	"accept": "70 % of a profile is system calls: the 101 (20 %), `accept4` (15 %), `epoll_ctl`, `read` and `close` (24 %). The target was set on a machine whose " +
		"system calls cost less.",
	"fanout-1-": "98 % of a profile is in `send`, one for each delivery, as in the ceiling: what is left is the noise of the machine and some 40 ns of ours a delivery.",
	"fanout-16-": "Both sides coalesce what comes while they send, so the figure depends on how much meets in one turn; single pairs of the ceiling against itself " +
		"have ranged from 0.81 to 1.46.",
}
