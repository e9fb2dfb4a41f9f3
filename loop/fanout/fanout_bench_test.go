package fanout_test

import (
	"fmt"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

func reportDeliveries(b *testing.B, s *scene, before uint64) {
	n := float64(s.fan.Stats().Deliveries - before)
	b.ReportMetric(n/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/delivery")
}

// BenchmarkFlush is publish, Apply and Flush for one view.
func BenchmarkFlush(b *testing.B) {
	for _, channels := range []int{1, 10} {
		for _, messages := range []int{1, 16} {
			for _, subs := range []int{1, 100, 5000} {
				b.Run(fmt.Sprintf("channels=%d/messages=%d/subs=%d", channels, messages, subs), func(b *testing.B) {
					set := names(channels)
					s := newScene(b, 100, set...)
					for range subs {
						s.subscribe(false, set...)
					}
					s.publish(messages)
					before := s.fan.Stats().Deliveries
					b.ReportAllocs()
					b.ResetTimer()
					for range b.N {
						s.publish(messages)
					}
					reportDeliveries(b, s, before)
				})
			}
		}
	}
}

// BenchmarkSingles is many channels with one subscriber each; turn is how many
// of them have a message in one turn.
func BenchmarkSingles(b *testing.B) {
	for _, turn := range []int{1, 64, 10_000} {
		b.Run(fmt.Sprintf("channels=10000/turn=%d", turn), func(b *testing.B) {
			all := names(10_000)
			s := newScene(b, 100, all...)
			for _, c := range all {
				s.subscribe(false, c)
			}
			s.publish(turn)
			before := s.fan.Stats().Deliveries
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s.publish(turn)
			}
			reportDeliveries(b, s, before)
		})
	}
}

// BenchmarkStripAppend is what a strip costs without any send: its one member
// is stalled.
func BenchmarkStripAppend(b *testing.B) {
	for _, bytes := range []int{100, 1000} {
		for _, messages := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("bytes=%d/messages=%d", bytes, messages), func(b *testing.B) {
				s := newScene(b, bytes, "A")
				s.subscribe(true, "A")
				s.publish(messages)
				b.SetBytes(int64(bytes * messages))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					s.publish(messages)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages), "ns/message")
			})
		}
	}
}

// BenchmarkMerge is one member that resumes 1,000 messages from history.
func BenchmarkMerge(b *testing.B) {
	for _, channels := range []int{1, 10, 128} {
		for _, subs := range []int{1, 10} {
			b.Run(fmt.Sprintf("channels=%d/messages=1000/resuming=%d", channels, subs), func(b *testing.B) {
				set := names(channels)
				s := newScene(b, 100, set...)
				for i := range 1000 {
					m := &ring.Message{Sequence: uint64(i + 1), Channel: set[i%channels], Size: 100, Entry: make([]byte, 100)}
					s.source.kept[m.Channel] = append(s.source.kept[m.Channel], m)
					s.fan.Apply([]*ring.Message{m})
				}
				s.source.head = 1000
				sub := &fanout.Subscription{Channels: set, From: fanout.After}
				for slot := range uint32(subs) {
					s.fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
				}
				before := s.fan.Stats().Deliveries
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					for slot := range uint32(subs) {
						if _, err := s.fan.Subscribe(slot, sub); err != nil {
							b.Fatal(err)
						}
					}
					for s.fan.Flush(sceneBudget) {
					}
					for slot := range uint32(subs) {
						s.fan.Unsubscribe(slot)
					}
				}
				if got := s.fan.Stats().Deliveries - before; got != uint64(1000*b.N*subs) {
					b.Fatalf("%d deliveries, want %d", got, 1000*b.N*subs)
				}
				reportDeliveries(b, s, before)
			})
		}
	}
}

// BenchmarkChurn is a connection that comes, subscribes and goes.
func BenchmarkChurn(b *testing.B) {
	for _, channels := range []int{1, 10} {
		for _, others := range []int{0, 1000} {
			b.Run(fmt.Sprintf("channels=%d/others=%d", channels, others), func(b *testing.B) {
				set := names(channels)
				s := newScene(b, 100, set...)
				for range others {
					s.subscribe(false, set...)
				}
				sub := &fanout.Subscription{Channels: set}
				slot := s.slots
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					s.fan.Attach(fanout.Conn{Slot: slot}, 1<<40)
					if _, err := s.fan.Subscribe(slot, sub); err != nil {
						b.Fatal(err)
					}
					s.fan.Detach(slot)
				}
			})
		}
	}
}

// BenchmarkMemory is not about time: bytes of a channel with one subscriber
// beyond the member.
func BenchmarkMemory(b *testing.B) {
	for _, channels := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			got := 0.0
			for range b.N {
				got = channelBytes(b, channels)
			}
			b.ReportMetric(got, "B/channel")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemoryOfOwnChannels is not about time: bytes of one of the channels that members have of their own beside a
// common one, with the views of the members.
func BenchmarkMemoryOfOwnChannels(b *testing.B) {
	for _, own := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("own=%d", own), func(b *testing.B) {
			got := 0.0
			for range b.N {
				got = ownBytes(b, 5000, own)
			}
			b.ReportMetric(got, "B/channel")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFlushLate is BenchmarkFlush with a sender that reports a turn late, so
// that sends are always out.
func BenchmarkFlushLate(b *testing.B) {
	for _, messages := range []int{1, 16} {
		for _, subs := range []int{1, 100, 5000} {
			b.Run(fmt.Sprintf("channels=1/messages=%d/subs=%d", messages, subs), func(b *testing.B) {
				s := newScene(b, 100, "A")
				out := late(s)
				for range subs {
					s.subscribe(false, "A")
				}
				turn := func() {
					s.apply(messages)
					out.turn()
					for s.fan.Flush(sceneBudget) {
						out.turn()
					}
				}
				turn()
				before := s.fan.Stats().Deliveries
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					turn()
				}
				reportDeliveries(b, s, before)
			})
		}
	}
}
