// moved.c in Go.
package main

import (
	"io"
	"net"
	"os"
	"syscall"
)

var bytes = make([]byte, 4096)

func must(holds bool) {
	if !holds {
		panic("moved")
	}
}

func opened(name string, flags int) *os.File {
	file, err := os.OpenFile(name, flags, 0600)
	must(err == nil)
	return file
}

func put(file *os.File, len int) {
	n, err := file.Write(bytes[:len])
	must(err == nil && n == len)
}

func get(file *os.File, len int) {
	n, err := file.Read(bytes[:len])
	must(err == nil && n == len)
}

func seek(file *os.File, to int64) {
	at, err := file.Seek(to, io.SeekStart)
	must(err == nil && at == to)
}

func main() {
	must(os.Chdir(os.Args[1]) == nil)
	file := opened("written", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	put(file, 1000)
	put(file, 234)
	file.Close()
	file = opened("both", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	put(file, 300)
	seek(file, 0)
	get(file, 100)
	file.Close()
	file = opened("appended", os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	put(file, 11)
	file.Close()
	must(os.Symlink("written", "read") == nil && os.Link("written", "partly") == nil)
	must(os.Link("written", "skipped") == nil)
	file = opened("partly", os.O_RDONLY)
	get(file, 100)
	get(file, 50)
	file.Close()
	file = opened("skipped", os.O_RDONLY)
	seek(file, 500)
	get(file, 20)
	file.Close()
	file = opened("both", os.O_RDONLY)
	n, err := file.ReadAt(bytes[:40], 0)
	must(err == nil && n == 40)
	file.Close()

	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(err == nil)
	asked, err := net.Dial("tcp4", listener.Addr().String())
	must(err == nil)
	accepted, err := listener.Accept()
	must(err == nil)
	n, err = asked.Write(bytes[:3000])
	must(err == nil && n == 3000 && asked.(*net.TCPConn).CloseWrite() == nil)
	all, err := io.ReadAll(accepted)
	must(err == nil && len(all) == 3000)
	n, err = accepted.Write(bytes[:77])
	must(err == nil && n == 77 && accepted.Close() == nil)
	all, err = io.ReadAll(asked)
	must(err == nil && len(all) == 77 && asked.Close() == nil)
	put(opened("left", os.O_WRONLY|os.O_CREATE|os.O_TRUNC), 55)
	_, err = os.Stat("left")
	must(err == nil)
	_, err = os.Lstat("read")
	must(err == nil && syscall.Access("partly", 4) == nil)
	_, err = os.Readlink("read")
	must(err == nil)
	syscall.Exit(0)
}
