/* Faults for one private redis-server: its clock, its disk, its flushing.
 *
 * Loaded by LD_PRELOAD, steered live through a small shared file (FAULTS_CONTROL, laid out as
 * `struct control`, written by faults.rs). Owns what the server sees of time and of its data files;
 * sockets, pipes, its log and every other program that inherits the environment are left alone.
 *
 * It also remembers, by inode, the length that each file had at the start of its last successful
 * flush: the bytes that a power cut would leave.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 4094

struct control {
    int64_t clock_us;        /* added to every reading of the wall clock */
    uint64_t is_disk_full;   /* writes to data files fail with ENOSPC */
    uint64_t fsync_ms;       /* a flush takes so much longer */
    uint64_t does_fsync_lie; /* a flush says yes and does nothing */
    uint64_t refused;        /* counts the writes that failed */
    uint64_t flushed;        /* counts the flushes that were done */
    uint64_t flushing;       /* flushes under way */
    uint64_t reserved;
    struct file { uint64_t inode, synced; } files[FILES_MAX];
};

static struct control nothing;
static struct control *control = &nothing;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Resolved at first use: the loader's own start comes before ours. */
#define REAL(type, name, ...)                                   \
    static type (*real_##name)(__VA_ARGS__);                    \
    if (!real_##name) real_##name = (type (*)(__VA_ARGS__))real(#name)

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTS_CONTROL");
    const char *program = program_invocation_short_name;
    if (!path || (strcmp(program, "redis-server") && strcmp(program, "valkey-server"))) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *shared = fd < 0 ? MAP_FAILED
        : mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) {
        perror("FAULTS_CONTROL");
        _exit(99); /* A test without its faults would prove nothing. */
    }
    close(fd);
    control = shared;
    control->flushing = 0; /* Those of a killed server died with it. */
}

/* ── the clock ── */

static void shift(time_t *seconds, long *part, long parts_per_us) {
    int64_t us = (int64_t)*seconds * 1000000 + *part / parts_per_us + control->clock_us;
    *part = (long)(us % 1000000) * parts_per_us + *part % parts_per_us;
    *seconds = (time_t)(us / 1000000);
}

int clock_gettime(clockid_t which, struct timespec *out) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int code = real_clock_gettime(which, out);
    if (code == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        shift(&out->tv_sec, &out->tv_nsec, 1000);
    return code;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int code = real_gettimeofday(out, zone);
    if (code == 0) shift(&out->tv_sec, &out->tv_usec, 1);
    return code;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* ── a full disk ── */

static int is_data(int fd, struct stat *file) {
    return fd > STDERR_FILENO && fstat(fd, file) == 0 && S_ISREG(file->st_mode);
}

static int is_refused(int fd) {
    struct stat file;
    if (!control->is_disk_full || !is_data(fd, &file)) return 0;
    __atomic_add_fetch(&control->refused, 1, __ATOMIC_SEQ_CST);
    errno = ENOSPC;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    return is_refused(fd) ? -1 : real_write(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return is_refused(fd) ? -1 : real_writev(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    return is_refused(fd) ? -1 : real_pwrite(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return is_refused(fd) ? -1 : real_pwrite64(fd, bytes, count, at);
}

/* How snapshots and rewrites are written; the log goes through fprintf. */
size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    return is_refused(fileno(stream)) ? 0 : real_fwrite(bytes, size, count, stream);
}

/* ── flushing, and what it left on disk ── */

static struct file *find(uint64_t inode, int or_add) {
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *file = &control->files[i];
        uint64_t known = __atomic_load_n(&file->inode, __ATOMIC_SEQ_CST);
        if (known == 0) {
            if (!or_add) return NULL;
            /* A thread that was quicker may have taken the place for the same file. */
            if (__atomic_compare_exchange_n(&file->inode, &known, inode, 0, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST))
                return file;
        }
        if (known == inode) return file;
    }
    return NULL;
}

static void forget(const char *path) {
    struct stat file;
    if (control == &nothing || stat(path, &file) != 0) return;
    struct file *known = find(file.st_ino, 0);
    if (known) known->synced = 0; /* The inode may come again, as another file. */
}

static void shrink(int fd, uint64_t length) {
    struct stat file;
    if (control == &nothing || !is_data(fd, &file)) return;
    struct file *known = find(file.st_ino, 0);
    if (known && known->synced > length) known->synced = length;
}

/* Takes as long as it was told to, or until it is told otherwise. */
static void dawdle(void) {
    struct timespec step = { 0, 2000000 };
    for (uint64_t slept_ms = 0; slept_ms < control->fsync_ms; slept_ms += 2) nanosleep(&step, NULL);
}

static int flush(int fd, int (*real_flush)(int)) {
    struct stat file;
    if (control == &nothing || !is_data(fd, &file)) return real_flush(fd);
    uint64_t length = file.st_size;
    __atomic_add_fetch(&control->flushing, 1, __ATOMIC_SEQ_CST);
    dawdle();
    int lies = control->does_fsync_lie != 0;
    int code = lies ? 0 : real_flush(fd);
    if (code == 0 && !lies) {
        struct file *known = find(file.st_ino, 1);
        if (known && known->synced < length) known->synced = length;
        __atomic_add_fetch(&control->flushed, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_sub_fetch(&control->flushing, 1, __ATOMIC_SEQ_CST);
    return code;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return flush(fd, real_fsync);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return flush(fd, real_fdatasync);
}

int ftruncate(int fd, off_t length) {
    REAL(int, ftruncate, int, off_t);
    shrink(fd, length);
    return real_ftruncate(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    shrink(fd, length);
    return real_ftruncate64(fd, length);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    forget(path);
    return real_unlink(path);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    forget(to);
    return real_rename(from, to);
}
