// Package subscription has the subscriptions of Mercure's subscribers, for the
// events and the web API that the protocol has for them.
//
// Its nouns are those of the protocol. A subscriber is one event stream. A [Subscription] is one
// topic, or one template, of it. Its id is a topic: the path of the subscription below
// /.well-known/mercure/subscriptions. An event is a private update of that topic, which says that
// the subscription is active, or no longer.
//
// A [Table] has no more than its limit. Subscriptions beyond it, or beyond the part of one
// address, work as others do, but are not listed and have no events. Events are appended to
// the log in order, a few hundred at a time and of each address as many as its [Pace] has
// (Report); those that the log refuses are tried again. A subscription that ends before it was
// announced has no events.
//
// With a log that several nodes share, [Peers] has the subscriptions of the other nodes, as their
// events say, which have a tag with their node. Each node tells its state after another one has come. Of a node that is gone, the
// first node that lives publishes the ends, or another one if it does not. For subscriptions of this node,
// too, what the log says counts: a batch that was taken for lost may be there, and another node may have ended what
// is active.
//
// What it leaves to others: which clients may read lists and events (server/permit), HTTP
// (server/httpapi), and when Report is called (server).
//
// Concurrency: any goroutine may call any method, but Report and Finish have one caller. The methods of Peers but Restore
// run under the append lock. The locks of the Table and of Peers are held for as long as it takes to copy one pointer for
// each subscription, and not at the same time, but for a signal.
package subscription
