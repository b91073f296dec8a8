/* What cannot be an inline function of the header. */
#define _GNU_SOURCE
#define _XOPEN_SOURCE 700
#include "CPlatform.h"

#include <fcntl.h>
#include <ftw.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int starling_remove_tree(const char *path) {
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int starling_identify_file(const char *path, struct starling_file_identity *identity) {
    memset(identity, 0, sizeof *identity);
#if defined(__linux__) && defined(STATX_BTIME)
    struct statx info;
    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &info) != 0) return errno;
    identity->device = (uint64_t)info.stx_dev_major << 32 | info.stx_dev_minor;
    identity->inode = info.stx_ino;
    if (info.stx_mask & STATX_BTIME)
        identity->born = (int64_t)info.stx_btime.tv_sec * 1000000000 + info.stx_btime.tv_nsec;
#else
    struct stat info;
    if (stat(path, &info) != 0) return errno;
    identity->device = info.st_dev;
    identity->inode = info.st_ino;
#endif
    return 0;
}

extern char **environ;

char **starling_environment(void) { return environ; }

int64_t starling_file_modified(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return 0;
#ifdef __APPLE__
    return (int64_t)info.st_mtimespec.tv_sec * 1000000000 + info.st_mtimespec.tv_nsec;
#else
    return (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
#endif
}

int64_t starling_peer_user(int socket) {
#ifdef __linux__
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    return peer.uid;
#else
    uid_t user;
    gid_t group;
    return getpeereid(socket, &user, &group) == 0 ? (int64_t)user : -1;
#endif
}

void starling_trim_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
