package server

// Policy is what becomes of slow consumers of a channel.
var Policy = policy

// Build is New, with a function that is called behind each step.
var Build = build
