/* A disk whose syncs fail: preloaded into one broker by failing_sync.rs.
 *
 * While the file FAILING_SYNC_TRIGGER exists, fsync and fdatasync of files below FAILING_SYNC_BELOW let
 * FAILING_SYNC_SKIP calls pass; the next one fails with EIO, once, and later ones succeed: as a kernel does, which drops
 * the error and marks what it could not write clean. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls;

static int fails(int fd) {
    const char *trigger = getenv("FAILING_SYNC_TRIGGER"), *below = getenv("FAILING_SYNC_BELOW");
    const char *skip = getenv("FAILING_SYNC_SKIP");
    char link[64], path[4096];
    if (!trigger || !below || access(trigger, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0) return 0;
    return atomic_fetch_add(&calls, 1) == (skip ? atol(skip) : 0);
}

static int sync_or_fail(const char *name, int fd) {
    if (fails(fd)) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
