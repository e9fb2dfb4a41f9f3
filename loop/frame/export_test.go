package frame

// UnmaskPlain is the judge of Unmask.
var UnmaskPlain = unmaskPlain
