package document

// reasons explain each loss, by a prefix of its key: the key of an experiment
// (scripts/bench.sh --list), or peers-NAME-FIGURE. The longest prefix applies.
var reasons = map[string]string{
	"publish": "Each publication costs two sends, the delivery and the response; the line above the table has the cost of a bare send. In a profile, system calls take 69 % of the " +
		"time (`send` 63 %), the append with its history 6 %, the fan-out 5 %, and parsing 3 %. A server in C makes the same system calls (`scripts/bench.sh --requests`), so batched sends (io_uring) " +
		"are not the only way: responses and deliveries that leave together, once for each batch of events, cost less each. The target was set on a machine with cheaper sends.",
	"publish-c-": "The kernel takes as long for each publication as for the C program, which makes the same system calls: about 70 % of the time of Peal, 94 % of that of C. The rest is what C does " +
		"not do: checks of the request, the decision, the log with its history, memory for the message and its collection, and the clock.",
	"publish-nginx-": "Both make one read and one send for each request. nginx drops the body; Peal decides whether the publisher may publish, numbers the message, and keeps it in a history.",
	"accept": "In a profile, system calls take 70 % of the time: sending the 101 response 20 %, `accept4` 15 %, `epoll_ctl`, `read` and `close` 24 %. The target was set on a machine with " +
		"cheaper system calls.",
	"accept-c": "Both make the same six system calls for a connection, and these take 70 to 75 % of Peal's time. Peal's own code is 20 %, where C has 7 %: the check of the head, the decision about the request, " +
		"the subscription, and what is counted and remembered of a connection. The rest, 5 to 10 %, is Go's runtime: a loop that finds nothing for a moment yields, and other threads look for work and sleep again.",
	"own-": "A channel of its own has an object of 32 bytes in the hub and one in its loop, its name, and places in two tables. What a connection needs because its set is like no other's is needed once, so that the only one costs " +
		"more than one of twenty. Resident memory is 1.5 to 1.7 times the live heap, because the collector lets the heap grow before it runs.",
	"own-name":         "A name takes 168 bytes of live heap: a guest of 48 bytes, a person of 32, the name, and places in the tables of names, of persons and of members.",
	"batch-":           "In a profile of escaped data, the collector marks for 15 % of the time, strings are scanned for 10 % and unescaped for 6 %; the rest is the entries, their history and their copies. The target was set on a faster machine.",
	"command-1":        "With one command in flight each has a read and a send of its own, which are 55 % of the time; appending is 17 %, reading the command 8 %. The target was set on a machine with cheaper system calls.",
	"lone-publication": "About 0.1 ms is Peal's. The rest is the monitor of Go's runtime, which looks for work after a thread has woken: [decision 19](docs/decisions/0019-loops-wait-in-a-system-call.md).",
	"heartbeats-":      "The rows below show how late the measuring process itself wakes on the same processors.",
	"sets-":            "With sets of their own, the fan-out takes 0.7 to 0.95 µs for each send, with equal sets 0.1: in a profile, visiting views 12 %, noting what is new in them 13 %, merging 12 %, members out of the cache 9 %. Sends and reads are 90 % of the whole.",
	"unix-socket":      "Where each publication has a delivery, that goes over TCP on both sides.",
	"auth-idle": "80 bytes are the grant that the token gives, 16 its texts, 30 its place in the map of its loop, and 16 its deadline; the rest are buffers of the burst in which " +
		"the tokens were verified, which are kept for the next.",
	"fanout-1-": "In a profile, `send` takes 98 % of the time, once per delivery, as in the ceiling. The rest is noise of the machine and about 40 ns of our own code per delivery.",
	"fanout-16-": "Both sides coalesce messages that arrive while they send, so the figure depends on how many meet in one turn. In single pairs of the ceiling against itself " +
		"the ratio ranged from 0.81 to 1.46.",
}
