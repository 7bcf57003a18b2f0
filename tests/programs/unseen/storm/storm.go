// storm: goroutines on threads of their own rename files while signals come; counts the calls that fail.
// Usage: storm THREADS RENAMES
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	threads, _ := strconv.Atoi(os.Args[1])
	renames, _ := strconv.Atoi(os.Args[2])
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1)
	over := make(chan bool)
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
				// SIGUSR1 to the process; SIGURG is the runtime's own, which it takes on any thread.
				syscall.Kill(os.Getpid(), syscall.SIGUSR1)
				syscall.Kill(os.Getpid(), syscall.SIGURG)
			}
		}
	}()
	failures := make(chan int)
	for thread := 0; thread < threads; thread++ {
		go func(thread int) {
			runtime.LockOSThread()
			failed := 0
			names := [2]string{fmt.Sprintf("storm.%d.a", thread), fmt.Sprintf("storm.%d.b", thread)}
			if os.WriteFile(names[0], nil, 0600) != nil {
				failed++
			}
			for done := 0; done < renames; done++ {
				if os.Rename(names[done%2], names[1-done%2]) != nil {
					failed++
				}
			}
			failures <- failed
		}(thread)
	}
	failed := 0
	for thread := 0; thread < threads; thread++ {
		failed += <-failures
	}
	close(over)
	fmt.Printf("failed %d\n", failed)
}
