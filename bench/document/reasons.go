package document

// reasons explain each loss, by a prefix of its key: the key of an experiment
// (scripts/bench.sh --list), or peers-NAME-FIGURE. The longest prefix applies.
var reasons = map[string]string{
	"publish": "Each publication costs two sends, the delivery and the response; the line above the table has the cost of a bare send. In a profile, system calls take 69 % of the " +
		"time (`send` 63 %), the append with its history 6 %, the fan-out 5 %, and parsing 3 %. A server in C makes the same system calls (`publish-c`), so batched sends (io_uring) " +
		"are not the only way: responses and deliveries that leave together, once for each batch of events, cost less each. The target was set on a machine with cheaper sends.",
	"publish-c-": "The kernel takes as long for each publication as for the C program, which makes the same system calls: about 70 % of the time of Peal, 94 % of that of C. The rest is what C does " +
		"not do: checks of the request, the decision, the log with its history, memory for the message and its collection, and the clock.",
	"publish-nginx-": "Both make one read and one send for each request. nginx drops the body; Peal decides whether the publisher may publish, numbers the message, and keeps it in a history.",
	"accept": "In a profile, system calls take 70 % of the time: sending the 101 response 20 %, `accept4` 15 %, `epoll_ctl`, `read` and `close` 24 %. The target was set on a machine with " +
		"cheaper system calls.",
	"accept-c": "Both make the same six system calls for a connection, and these take 70 to 75 % of Peal's time. Peal's own code is 20 %, where C has 7 %: the check of the head, the decision about the request, " +
		"the subscription, and what is counted and remembered of a connection. The rest, 5 to 10 %, is Go's runtime: a loop that finds nothing for a moment yields, and other threads look for work and sleep again. With GOMAXPROCS=1 " +
		"Peal opens connections 1.03 to 1.22 times as fast.",
	"auth-idle": "80 bytes are the grant that the token gives, 16 its texts, 30 its place in the map of its loop, and 16 its deadline; the rest are buffers of the burst in which " +
		"the tokens were verified, which are kept for the next.",
	"fanout-1-": "In a profile, `send` takes 98 % of the time, once per delivery, as in the ceiling. The rest is noise of the machine and about 40 ns of our own code per delivery.",
	"fanout-16-": "Both sides coalesce messages that arrive while they send, so the figure depends on how many meet in one turn. In single pairs of the ceiling against itself " +
		"the ratio ranged from 0.81 to 1.46.",
}
