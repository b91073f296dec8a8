/* What cannot be an inline function of the header. */
#define _XOPEN_SOURCE 700
#include "CPlatform.h"

#include <ftw.h>

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int starling_remove_tree(const char *path) {
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
