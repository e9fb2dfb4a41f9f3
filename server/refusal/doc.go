// Package refusal is the one error that clients receive. An [Error] has a stable
// code for programs and a sentence for people that says what to change; each
// transport writes it in its own way: an HTTP status with a body, a close code
// with a reason, a reply to a command, the result of a message of a batch.
//
// An Error is made by the package that finds the condition, and only those that
// several packages share are here. [Codes] lists the codes of all. Errors are
// constants: nobody changes one after it was made, and any goroutine may use it.
package refusal
