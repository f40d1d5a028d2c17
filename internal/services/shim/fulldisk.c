// Gives a server a disk that is full for as long as a file is there: what lies
// within a file can be written, as on a disk, and nothing can grow.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int fd, off_t end) {
	const char *flag = getenv("PORTICO_TEST_FULL");
	struct stat s;
	if (!flag || access(flag, F_OK) != 0 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || end <= s.st_size)
		return 0;
	errno = ENOSPC;
	return 1;
}

static off_t sum(const struct iovec *v, int n) {
	off_t all = 0;
	for (int i = 0; i < n; i++)
		all += v[i].iov_len;
	return all;
}

ssize_t pwrite(int fd, const void *b, size_t n, off_t at) {
	ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
	return full(fd, at + n) ? -1 : next(fd, b, n, at);
}

ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) { return pwrite(fd, b, n, at); }

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at) {
	ssize_t (*next)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev64");
	return full(fd, at + sum(v, n)) ? -1 : next(fd, v, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at) { return pwritev(fd, v, n, at); }

int posix_fallocate(int fd, off_t at, off_t n) {
	int (*next)(int, off_t, off_t) = dlsym(RTLD_NEXT, "posix_fallocate64");
	return full(fd, at + n) ? ENOSPC : next(fd, at, n);
}

int posix_fallocate64(int fd, off64_t at, off64_t n) { return posix_fallocate(fd, at, n); }
