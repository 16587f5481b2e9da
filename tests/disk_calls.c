/* Records what a process does to the files of one folder, or lets one of these calls fail: loaded with LD_PRELOAD.
 *
 * faults_begin() turns it on, after a fork. Each call that changes a file is one record in the log:
 *   kind (1 byte), length of the path (4), of the second path (4), offset (8), length of the data (8), then these.
 * Kinds: W data at an offset; T the file has this length now; S the file is on disk, with its whole content;
 * C a new file; R a new name; U no name any more; M a new folder; D a folder less.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static int log_file = -1, fails_with, is_lasting;
static long fails_at, calls;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* at: which call fails, from 1; 0: none. lasting: so do all later ones that need space. */
void faults_begin(const char *where, int log, long at, int with, int lasting) {
    snprintf(folder, sizeof folder, "%s/", where);
    log_file = log, fails_at = at, fails_with = with, is_lasting = lasting, calls = 0;
}

long faults_calls(void) { return calls; }

static int is_ours(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return is_ours(path);
}

static void full_path(int at, const char *name, char *path) {
    if (name[0] == '/') { snprintf(path, PATH_MAX, "%s", name); return; }
    char base[PATH_MAX], link[64];
    if (at == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; }
    else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t size = readlink(link, base, sizeof base - 1);
        base[size > 0 ? size : 0] = 0;
    }
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", base, name);
}

/* Whether this call fails; needs_space: it does so also after the first that failed, if that lasts. */
static int fails(int needs_space) {
    pthread_mutex_lock(&lock);
    long number = ++calls;
    pthread_mutex_unlock(&lock);
    int now = fails_at && (number == fails_at || (is_lasting && needs_space && number > fails_at));
    if (now) errno = fails_with;
    return now;
}

static void put(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t done = REAL(write)(log_file, at, size);
        if (done <= 0) abort();
        at += done, size -= done;
    }
}

static void record(char kind, const char *path, const char *other, int64_t offset, const void *data, uint64_t size) {
    if (log_file < 0) return;
    int saved = errno;
    uint32_t lengths[2] = {strlen(path), other ? strlen(other) : 0};
    pthread_mutex_lock(&lock);
    put(&kind, 1), put(lengths, 8), put(&offset, 8), put(&size, 8), put(path, lengths[0]);
    if (other) put(other, lengths[1]);
    if (size) put(data, size);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static ssize_t written(int fd, const void *data, size_t size, off_t offset, int is_at) {
    char path[PATH_MAX];
    int ours = folder[0] && path_of(fd, path);
    if (ours && fails(1)) return -1;
    if (ours && !is_at) offset = (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = is_at ? REAL(pwrite)(fd, data, size, offset) : REAL(write)(fd, data, size);
    if (ours && done > 0) record('W', path, NULL, offset, data, done);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return written(fd, data, size, at, 1); }

static int synced(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    int ours = folder[0] && path_of(fd, path);
    if (ours && fails(0)) return -1;
    int done = real(fd);
    if (!ours || done || log_file < 0) return done;
    struct stat found;
    if (fstat(fd, &found)) return done;
    if (S_ISDIR(found.st_mode)) { record('S', path, NULL, 0, NULL, 0); return done; }
    char *content = malloc(found.st_size + 1);
    int again = REAL(open)(path, O_RDONLY); /* the descriptor may be for writing only */
    ssize_t size = again < 0 ? 0 : pread(again, content, found.st_size, 0);
    if (again >= 0) close(again);
    record('S', path, NULL, 0, content, size > 0 ? size : 0);
    free(content);
    return done;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    int ours = folder[0] && path_of(fd, path);
    if (ours && fails(1)) return -1;
    int done = REAL(ftruncate)(fd, size);
    if (ours && !done) record('T', path, NULL, size, NULL, 0);
    return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int opened(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat found;
    if (!folder[0] || !(flags & (O_CREAT | O_TRUNC))) return REAL(openat)(at, name, flags, mode);
    full_path(at, name, path);
    int ours = is_ours(path), is_new = ours && lstat(path, &found) != 0;
    if (is_new && fails(1)) return -1;
    int fd = REAL(openat)(at, name, flags, mode);
    if (ours && fd >= 0 && is_new) record('C', path, NULL, 0, NULL, 0);
    else if (ours && fd >= 0 && (flags & O_TRUNC)) record('T', path, NULL, 0, NULL, 0);
    return fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); }
int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags) if (!folder[0]) return REAL(openat)(at, name, flags, mode); return opened(at, name, flags, mode); }

int rename(const char *old, const char *new) {
    char from[PATH_MAX], to[PATH_MAX];
    full_path(AT_FDCWD, old, from), full_path(AT_FDCWD, new, to);
    int ours = is_ours(from) || is_ours(to);
    if (ours && fails(0)) return -1;
    int done = REAL(rename)(old, new);
    if (ours && !done) record('R', from, to, 0, NULL, 0);
    return done;
}

static int unlinked(int at, const char *name, int flags) {
    char path[PATH_MAX];
    full_path(at, name, path);
    int done = REAL(unlinkat)(at, name, flags);
    if (is_ours(path) && !done) record(flags & AT_REMOVEDIR ? 'D' : 'U', path, NULL, 0, NULL, 0);
    return done;
}
int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int unlinkat(int at, const char *name, int flags) { return unlinked(at, name, flags); }
int rmdir(const char *name) { return unlinked(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    full_path(AT_FDCWD, name, path);
    int ours = is_ours(path);
    if (ours && fails(1)) return -1;
    int done = REAL(mkdir)(name, mode);
    if (ours && !done) record('M', path, NULL, 0, NULL, 0);
    return done;
}
