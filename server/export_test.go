package server

// Policy is what becomes of slow consumers of a channel.
var Policy = policy
