// An HTTP server by Go's own net/http, at a port of the loopback interface that it prints. It ends with its
// standard input.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	page := strings.Repeat("hello, world\n", 16)
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		io.WriteString(answer, page)
	})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(http.Serve(listener, nil))
}
