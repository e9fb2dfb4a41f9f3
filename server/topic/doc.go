// Package topic has the selectors of topics: an exact topic, a URI template (RFC 6570),
// and "*", which selects every topic.
//
// A topic is the name of a channel. An update that is public is published on the channel
// of its topic, a private one on the channel PrivatePrefix + topic, which clients cannot
// name otherwise. Channels turns the selectors of a subscription, and those that a token
// grants, into names of channels and matchers (loop/fanout), whose text Patterns reads:
//
//	orders/1                        the public updates of one topic
//	$private:orders/1               its private ones
//	$like:orders/{id}               the public updates of all topics that the template matches
//	$like-private:orders/{id}       their private ones
//	$like-private:orders/{id} {+x}  those of topics that both templates match: what was
//	                                asked for, and what was granted
//
// A template matches what it can expand to, for some values, lists or maps of its
// variables, as far as their lengths are not limited: {id:3} matches as {id} does. A
// client can make a template that matches much, but not one that takes long: a match works on
// sets of positions, so that it takes as long for each topic (template.cost).
//
// What it leaves to others: which topics a token grants, and who publishes (their callers),
// and finding the matchers of a publication (loop/fanout).
package topic
