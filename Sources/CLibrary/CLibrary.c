#include "CLibrary.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local char reason[512];

static const char *load(struct starling_library *library) {
    if (library->handle) return 0;
    void *handle = 0;
    for (const char *const *name = library->names; *name && !handle; name++) {
        handle = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
        /* What is wrong with the first name is said: the others are of other systems. */
        const char *words = handle ? 0 : dlerror();
        if (words && name == library->names)
            snprintf(reason, sizeof reason, "%s: %s", words, library->remedy);
    }
    if (!handle) return reason;
    for (const struct starling_symbol *symbol = library->symbols; symbol->name; symbol++) {
        *symbol->function = dlsym(handle, symbol->name);
        if (*symbol->function) continue;
        snprintf(
            reason, sizeof reason, "%s is too old, it has no %s: %s", library->names[0], symbol->name,
            library->remedy);
        dlclose(handle);
        return reason;
    }
    library->handle = handle;
    return 0;
}

const char *starling_library_load(struct starling_library *library) {
    pthread_mutex_lock(&lock);
    const char *failure = load(library);
    pthread_mutex_unlock(&lock);
    return failure;
}
