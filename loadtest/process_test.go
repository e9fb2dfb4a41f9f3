package loadtest

import "testing"

func TestKernelMemoryIncludesSockets(t *testing.T) {
	kernel, err := KernelMemory()
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := SocketMemory()
	if err != nil {
		t.Fatal(err)
	}
	if kernel <= sockets || kernel > 1<<40 {
		t.Errorf("%d bytes of the kernel, %d of sockets", kernel, sockets)
	}
}
