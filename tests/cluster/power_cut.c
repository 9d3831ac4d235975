/* A power cut for one process: preloaded into a broker by power_cut.rs.
 *
 * What is written to files below POWER_CUT_BELOW is remembered until an fsync or fdatasync of that file, begun later,
 * returns well. Once the file POWER_CUT_TRIGGER exists, everything that was not synced is undone, newest first, but for
 * one write in four (POWER_CUT_SEED), because a disk may keep what nobody asked it to keep; then the process is gone.
 *
 *     pwrite: old bytes kept -> written      fdatasync: done -> older undos dropped      cut: undos played back, SIGKILL
 *
 * Room that was allocated stays allocated, and names stay as they are: a file system keeps those, as a courtesy. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct undo {
    struct undo *older;
    unsigned long number;
    dev_t device;
    ino_t inode;
    off_t at;
    size_t length;
    int fd;
    char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct undo *newest;
static unsigned long last_number;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static ssize_t real_pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return ((ssize_t (*)(int, const void *, size_t, off_t))real("pwrite64"))(fd, bytes, length, at);
}

static void fail(const char *what) {
    perror(what);
    abort();
}

static int is_ours(int fd, struct stat *of) {
    const char *below = getenv("POWER_CUT_BELOW");
    char link[64], path[4096];
    if (!below || fstat(fd, of) != 0 || !S_ISREG(of->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}

/* With the lock held, before the bytes are written. Its own descriptor: the writer's may be closed before the cut. */
static void remember(int fd, const struct stat *of, size_t length, off_t at) {
    struct undo *undo = calloc(1, sizeof *undo + length);
    char link[64];
    if (!undo) fail("power_cut: memory");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    undo->fd = open(link, O_RDWR | O_CLOEXEC);
    if (undo->fd < 0) fail("power_cut: a descriptor");
    if (pread(undo->fd, undo->bytes, length, at) < 0) fail("power_cut: the old bytes");
    undo->device = of->st_dev;
    undo->inode = of->st_ino;
    undo->at = at;
    undo->length = length;
    undo->number = ++last_number;
    undo->older = newest;
    newest = undo;
}

static void forget(const struct stat *of, unsigned long up_to) {
    for (struct undo **next = &newest; *next;) {
        struct undo *undo = *next;
        if (undo->device == of->st_dev && undo->inode == of->st_ino && undo->number <= up_to) {
            *next = undo->older;
            close(undo->fd);
            free(undo);
        } else {
            next = &undo->older;
        }
    }
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
    struct stat of;
    if (!is_ours(fd, &of)) return real_pwrite(fd, bytes, length, at);
    pthread_mutex_lock(&lock);
    remember(fd, &of, length, at);
    ssize_t written = real_pwrite(fd, bytes, length, at);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
    ssize_t (*write_parts)(int, const struct iovec *, int, off_t) = real("pwritev64");
    struct stat of;
    if (!is_ours(fd, &of)) return write_parts(fd, parts, count, at);
    size_t length = 0;
    for (int index = 0; index < count; index++) length += parts[index].iov_len;
    pthread_mutex_lock(&lock);
    remember(fd, &of, length, at);
    ssize_t written = write_parts(fd, parts, count, at);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }

static int sync_file(const char *name, int fd) {
    int (*sync)(int) = (int (*)(int))real(name);
    struct stat of;
    if (!is_ours(fd, &of)) return sync(fd);
    pthread_mutex_lock(&lock);
    unsigned long up_to = last_number;
    pthread_mutex_unlock(&lock);
    int answer = sync(fd);
    if (answer == 0) {
        pthread_mutex_lock(&lock);
        forget(&of, up_to);
        pthread_mutex_unlock(&lock);
    }
    return answer;
}

int fsync(int fd) { return sync_file("fsync", fd); }
int fdatasync(int fd) { return sync_file("fdatasync", fd); }

static void *watch(void *trigger) {
    while (access(trigger, F_OK) != 0) usleep(500);
    const char *text = getenv("POWER_CUT_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : 0;
    pthread_mutex_lock(&lock); /* for good: nobody writes any more */
    for (struct undo *undo = newest; undo; undo = undo->older) {
        if (rand_r(&seed) % 4 == 0) continue;
        if (real_pwrite(undo->fd, undo->bytes, undo->length, undo->at) < 0) fail("power_cut: undo");
    }
    kill(getpid(), SIGKILL);
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    char *trigger = getenv("POWER_CUT_TRIGGER");
    pthread_t thread;
    if (trigger && pthread_create(&thread, NULL, watch, trigger) != 0) fail("power_cut: a thread");
}
