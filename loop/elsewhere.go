//go:build !linux

package loop

import _ "embed"

// Elsewhere than on Linux the build ends here, with the sentence below: the go
// command looks for embedded files before it compiles anything, and there is
// none of this name. Without it the compiler would list system calls.
//
//go:embed "Peal runs on Linux only, for its event loops are epoll's. Build it with GOOS=linux"
var linuxOnly string
