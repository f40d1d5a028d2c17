package main

import (
	"errors"
	"syscall"
)

// isTaken tells a port in use from an address family that is not there.
func isTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)
}
