#pragma once
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* errno is a macro over a thread-local function: one call reads it at once. */
static inline int starling_errno(void) { return errno; }
/* stderr is a global variable of C that strict concurrency cannot check. */
static inline FILE *starling_stderr(void) { return stderr; }
static inline FILE *starling_stdout(void) { return stdout; }

/* nftw needs _XOPEN_SOURCE before the first header, which Swift's clang importer does not set:
   removes a folder and everything in it; 0 when it is gone. */
int starling_remove_tree(const char *path);

/* What tells one file from another that has its name: statx and its constants are out of Swift's
   reach. born is in nanoseconds, 0 where the file system does not know. Returns 0, or errno. */
struct starling_file_identity {
    uint64_t device, inode;
    int64_t born;
};
int starling_identify_file(const char *path, struct starling_file_identity *identity);

/* environ is a global variable of C that strict concurrency cannot check. */
char **starling_environment(void);

/* When a file was last written, in nanoseconds since 1970; 0 when it cannot be told. The name of the
   field differs between systems. */
int64_t starling_file_modified(const char *path);

/* The user at the other end of a connected Unix socket; -1 when the system does not say. */
int64_t starling_peer_user(int socket);

/* Gives memory that was freed back to the system, where the C library keeps it otherwise. */
void starling_trim_memory(void);
