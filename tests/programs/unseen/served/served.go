// served: a server that runs already, under load, when it is attached to (tests/tests/notify_attach.rs): its
// threads make system calls all the time, and the runtime sends them SIGURG.
//
// Usage: PROGRAM WORK
//
// Until the file `stop` is there it does deed after deed: writes a file, asks itself over a connection, and
// executes a program. The number of the last one goes to the file `count-of-deeds`.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const deeds = 4

var failed atomic.Int64

func check(err error) {
	if err != nil {
		failed.Add(1)
		fmt.Println(err)
	}
}

func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			// Not by io.Copy, which keeps pipes for splice(2).
			word := make([]byte, 4)
			_, err := io.ReadFull(connection, word)
			check(err)
			_, err = connection.Write(word)
			check(err)
			check(connection.Close())
		}()
	}
}

func ask(address string) {
	connection, err := net.Dial("tcp", address)
	check(err)
	if err != nil {
		return
	}
	_, err = connection.Write([]byte("ping"))
	check(err)
	answer := make([]byte, 4)
	_, err = io.ReadFull(connection, answer)
	check(err)
	if string(answer) != "ping" {
		check(fmt.Errorf("answered %q", answer))
	}
	check(connection.Close())
}

// The descriptors, once the last connections are closed.
func descriptors() string {
	var kinds []string
	for range [100]int{} {
		kinds = nil
		names, _ := filepath.Glob("/proc/self/fd/*")
		for _, name := range names {
			if target, err := os.Readlink(name); err == nil {
				kind, _, _ := strings.Cut(target, ":")
				if kind != "socket" && kind != "anon_inode" && kind != "pipe" {
					kind = "file"
				} else if kind == "anon_inode" {
					kind = target
				}
				kinds = append(kinds, filepath.Base(name)+" "+kind)
			}
		}
		if len(kinds) <= 7 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return strings.Join(kinds, "\n")
}

func main() {
	work := os.Args[1]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go serve(listener)
	// Loops without a call, which the runtime interrupts by signals.
	var stop atomic.Bool
	for range [2]int{} {
		go func() {
			for sum := 0; !stop.Load(); {
				for i := range [3_000_000]struct{}{} {
					sum += i
				}
			}
		}()
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range [deeds]int{} {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				if _, err := os.Stat(work + "/stop"); err == nil {
					return
				}
				number := next.Add(1)
				check(os.WriteFile(work+"/served."+strconv.Itoa(int(number)), []byte("x"), 0o600))
				ask(listener.Addr().String())
				check(exec.Command("/bin/true").Run())
			}
		}()
	}
	workers.Wait()
	stop.Store(true)
	check(listener.Close())
	check(os.WriteFile(work+"/count-of-deeds", []byte(strconv.Itoa(int(next.Load()))), 0o600))
	fmt.Println("failed", failed.Load())
	fmt.Println(descriptors())
}
