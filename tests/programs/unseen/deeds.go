// deeds in Go: the list of deeds.h by package syscall, in the same order and with the same lines; and, with a
// third argument, what Go programs do besides.
//
// Usage: PROGRAM WORK PORT [more]
//
// Built with CGO_ENABLED=0 (static), with -buildmode=pie, and with cgo (cgo.go beside it, tag `cgo`).
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

var report strings.Builder

func say(name string, err error) {
	if number, is := err.(syscall.Errno); is && number != 0 {
		fmt.Fprintf(&report, "%s: error %d\n", name, int(number))
	} else if err != nil && !is {
		fmt.Fprintf(&report, "%s: %v\n", name, err)
	} else {
		fmt.Fprintf(&report, "%s: ok\n", name)
	}
}

func number(name string, call uintptr, a, b, c, d, e uintptr) uintptr {
	result, _, err := syscall.Syscall6(call, a, b, c, d, e, 0)
	say(name, err)
	return result
}

func text(words string) uintptr {
	bytes, err := syscall.BytePtrFromString(words)
	if err != nil {
		panic(err)
	}
	return uintptr(unsafe.Pointer(kept(bytes)))
}

// What a system call reads must not be collected before it.
var all []*byte

func kept(bytes *byte) *byte {
	all = append(all, bytes)
	return bytes
}

const atFdcwd = ^uintptr(99)

var sysMemfdCreate, sysExecveat uintptr = 319, 322

func init() {
	if runtime.GOARCH == "arm64" {
		sysMemfdCreate, sysExecveat = 279, 281
	}
}

func loopback(port int) *syscall.SockaddrInet4 {
	return &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func stream() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	say("socket", err)
	return fd
}

func files(work string) {
	one, two, hard := work+"/one", work+"/two", work+"/hard"
	soft, folder, missing := work+"/soft", work+"/folder", work+"/missing"
	flags := syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC | syscall.O_CLOEXEC
	fd, err := syscall.Open(one, flags, 0644)
	say("openat", err)
	syscall.Close(fd)
	say("rename", syscall.Rename(one, two))
	say("link", syscall.Link(two, hard))
	say("symlink", syscall.Symlink(two, soft))
	say("chmod", syscall.Chmod(two, 0600))
	say("unlink", syscall.Unlink(hard))
	say("unlink", syscall.Unlink(soft))
	say("unlink", syscall.Unlink(missing))
	say("mkdir", syscall.Mkdir(folder, 0755))
	say("rmdir", syscall.Rmdir(folder))
}

func sockets(port int) {
	fd := stream()
	say("connect", syscall.Connect(fd, loopback(port)))
	syscall.Close(fd)
	fd = stream()
	say("bind", syscall.Bind(fd, loopback(0)))
	say("listen", syscall.Listen(fd, 4))
	name, _ := syscall.Getsockname(fd)
	own, _ := name.(*syscall.SockaddrInet4)
	other := stream()
	say("connect", syscall.Connect(other, loopback(own.Port)))
	accepted, _, err := syscall.Accept4(fd, syscall.SOCK_CLOEXEC)
	say("accept4", err)
	for _, fd := range []int{accepted, other, fd} {
		syscall.Close(fd)
	}
}

func deeds(work string, port int) {
	files(work)
	sockets(port)
	say("kill", syscall.Kill(os.Getpid(), 0))
	say("setuid", syscall.Setuid(syscall.Getuid()))
	syscall.Close(int(number("memfd_create", sysMemfdCreate, text("deeds"), 1, 0, 0, 0)))
	// An unknown flag, a folder that is not there, the own process: each fails for every user.
	say("unshare", syscall.Unshare(syscall.CLONE_NEWNS|1))
	say("mount", syscall.Mount("none", work+"/missing", "tmpfs", 0, ""))
	say("ptrace", syscall.PtraceAttach(os.Getpid()))
	child, err := syscall.ForkExec("/bin/true", []string{"true", "of", "deeds"}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
	})
	var status syscall.WaitStatus
	if err == nil {
		_, err = syscall.Wait4(child, &status, 0, nil)
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("status %d", status)
	}
	say("execve", err)
}

// more: os/exec, files by several goroutines, a server and a client of net/http.
func more(work string) {
	say("os/exec", exec.Command("/bin/true", "by", "os/exec").Run())
	say("os/exec", exec.Command("/bin/sh", "-c", ": > "+work+"/by-a-shell").Run())
	var all sync.WaitGroup
	errors := make([]error, 8)
	for n := range errors {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			name := fmt.Sprintf("%s/by-goroutine-%d", work, n)
			if errors[n] = os.WriteFile(name, []byte("x"), 0644); errors[n] == nil {
				errors[n] = os.Rename(name, name+"-renamed")
			}
		}(n)
	}
	all.Wait()
	for _, err := range errors {
		say("goroutine", err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	say("net.Listen", err)
	go http.Serve(listener, http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
		io.WriteString(to, "hello\n")
	}))
	for n := 0; n < 2; n++ {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get("http://" + listener.Addr().String() + "/")
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		say("net/http", err)
	}
	say("os.RemoveAll", os.RemoveAll(work+"/by-a-shell"))
	say("C", byC(work))
}

func pointers(list []string) uintptr {
	pointers, err := syscall.SlicePtrFromStrings(list)
	if err != nil {
		panic(err)
	}
	for _, pointer := range pointers {
		kept(pointer)
	}
	vectors = append(vectors, pointers)
	return uintptr(unsafe.Pointer(&pointers[0]))
}

var vectors [][]*byte

func main() {
	if len(os.Args) < 3 {
		os.Exit(2)
	}
	port, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	deeds(os.Args[1], port)
	if len(os.Args) > 3 {
		more(os.Args[1])
	}
	// What was said must be out before the program is another one.
	os.Stdout.WriteString(report.String())
	report.Reset()
	argv := pointers([]string{"true", "of", "deeds"})
	number("execveat", sysExecveat, atFdcwd, text("/bin/true"), argv, pointers(os.Environ()), 0)
	os.Stdout.WriteString(report.String())
}
