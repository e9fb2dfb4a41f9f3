package loop

import (
	"time"

	"golang.org/x/sys/unix"
)

// Traffic is what the kernel has counted for one TCP connection. Peal counts nothing
// for it: the numbers are read when somebody asks. With TLS they are those of records.
type Traffic struct {
	Known         bool   // false for Unix sockets
	Sent          uint64 // bytes, those sent again not counted
	Acknowledged  uint64 // by the client's machine
	Received      uint64
	Unsent        int // bytes that the kernel has and has not sent
	Retransmitted int // segments
	RoundTrip     time.Duration
	Blocked       time.Duration // that the receiver's window was closed
}

// TCPTraffic reads what the kernel knows of a socket; ok is false if it is no TCP socket. A
// call takes about a microsecond. It is Parts.Traffic of a server.
func TCPTraffic(socket int32) (t Traffic, ok bool) {
	info, err := unix.GetsockoptTCPInfo(int(socket), unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return Traffic{}, false
	}
	return Traffic{
		Known:         true,
		Sent:          info.Bytes_sent - info.Bytes_retrans,
		Acknowledged:  info.Bytes_acked,
		Received:      info.Bytes_received,
		Unsent:        int(info.Notsent_bytes),
		Retransmitted: int(info.Total_retrans),
		RoundTrip:     time.Duration(info.Rtt) * time.Microsecond,
		Blocked:       time.Duration(info.Rwnd_limited) * time.Microsecond,
	}, true
}
