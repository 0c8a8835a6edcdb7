/* A file system that fails once: preloaded (LD_PRELOAD), it counts the calls that write below one folder, and lets the
 * n-th of them fail, or end the process there as SIGKILL does.
 *
 *   cc -shared -fPIC -O1 -o fault.so fault.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & O_CREAT))

static char root[PATH_MAX];
static long target, calls;
static int code;
static FILE *record;

/* Arm: `n` = 0 counts alone, `wanted` < 0 kills; each call is noted in the file `notes` if that is not empty. */
void fault_arm(const char *prefix, long n, int wanted, const char *notes) {
    target = n, calls = 0, code = wanted;
    record = notes[0] ? REAL(fopen)(notes, "w") : NULL;
    strncpy(root, prefix, sizeof root - 1);
}

void fault_disarm(void) { root[0] = 0; }

static int fails(const char *call, const char *path, int refusal) {
    size_t length = strlen(root);
    if (!length || strncmp(path, root, length) || path[length] != '/') return 0;
    long now = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (record) dprintf(fileno(record), "%s %s\n", call, path + length + 1);
    if (now != target) return 0;
    if (code < 0) kill(getpid(), SIGKILL);
    errno = refusal ? refusal : code;
    return 1;
}

static int at(const char *call, int folder, const char *path, int refusal) {
    char whole[2 * PATH_MAX] = "", link[64];
    if (!root[0] || !path) return 0;
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(whole, PATH_MAX)) return 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            if (readlink(link, whole, PATH_MAX) < 0) return 0;
        }
        strcat(whole, "/");
    }
    strncat(whole, path, PATH_MAX - 1);
    return fails(call, whole, refusal);
}

static int file(const char *call, int handle, int refusal) {
    char whole[PATH_MAX] = "", link[64];
    if (!root[0]) return 0;
    int before = errno, flags = fcntl(handle, F_GETFL);
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    int found = flags >= 0 && WRITES(flags) && readlink(link, whole, PATH_MAX - 1) > 0;
    errno = before;
    return found && fails(call, whole, refusal);
}

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                \
        if (WRITES(flags) && at("open", AT_FDCWD, path, 0)) return -1;               \
        return REAL(name)(path, flags, mode);                                        \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                 \
    int name(int folder, const char *path, int flags, ...) {                         \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                \
        if (WRITES(flags) && at("open", folder, path, 0)) return -1;                 \
        return REAL(name)(folder, path, flags, mode);                                \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                                  \
    FILE *name(const char *path, const char *mode) {                                 \
        if (strpbrk(mode, "wa+") && at("open", AT_FDCWD, path, 0)) return NULL;      \
        return REAL(name)(path, mode);                                               \
    }
FOPEN(fopen)
FOPEN(fopen64)

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    if (root[0] && file("write", fileno(stream), 0)) return 0;
    return REAL(fwrite)(data, size, count, stream);
}
ssize_t write(int handle, const void *data, size_t size) {
    return file("write", handle, 0) ? -1 : REAL(write)(handle, data, size);
}
ssize_t writev(int handle, const struct iovec *parts, int count) {
    return file("write", handle, 0) ? -1 : REAL(writev)(handle, parts, count);
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t place) {
    return file("write", handle, 0) ? -1 : REAL(pwrite)(handle, data, size, place);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t place) {
    return file("write", handle, 0) ? -1 : REAL(pwrite64)(handle, data, size, place);
}
int ftruncate(int handle, off_t size) { return file("truncate", handle, 0) ? -1 : REAL(ftruncate)(handle, size); }
int ftruncate64(int handle, off64_t size) { return file("truncate", handle, 0) ? -1 : REAL(ftruncate64)(handle, size); }
int fsync(int handle) { return file("fsync", handle, 0) ? -1 : REAL(fsync)(handle); }
int close(int handle) {
    int failed = file("close", handle, EIO), refusal = errno; /* a file is closed, whatever close says */
    int done = REAL(close)(handle);
    if (failed) errno = refusal;
    return failed ? -1 : done;
}
int rename(const char *from, const char *to) { return at("rename", AT_FDCWD, to, 0) ? -1 : REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) {
    return at("rename", b, to, 0) ? -1 : REAL(renameat)(a, from, b, to);
}
int mkdir(const char *path, mode_t mode) { return at("mkdir", AT_FDCWD, path, 0) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
    return at("mkdir", folder, path, 0) ? -1 : REAL(mkdirat)(folder, path, mode);
}
int chmod(const char *path, mode_t mode) { return at("chmod", AT_FDCWD, path, EPERM) ? -1 : REAL(chmod)(path, mode); }
int fchmod(int handle, mode_t mode) { return file("chmod", handle, EPERM) ? -1 : REAL(fchmod)(handle, mode); }
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    return at("chmod", folder, path, EPERM) ? -1 : REAL(fchmodat)(folder, path, mode, flags);
}
int unlink(const char *path) { return at("unlink", AT_FDCWD, path, EIO) ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) {
    return at("unlink", folder, path, EIO) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) { return at("unlink", AT_FDCWD, path, EIO) ? -1 : REAL(rmdir)(path); }
