//go:build cgo

package main

/*
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int by_c(const char *path) {
    FILE *file = fopen(path, "w");
    return file && fclose(file) == 0 ? 0 : errno;
}
*/
import "C"

import (
	"syscall"
	"unsafe"
)

// byC opens a file through libc, where a hook sees it.
func byC(work string) error {
	path := C.CString(work + "/by-c")
	defer C.free(unsafe.Pointer(path))
	if number := C.by_c(path); number != 0 {
		return syscall.Errno(number)
	}
	return nil
}
