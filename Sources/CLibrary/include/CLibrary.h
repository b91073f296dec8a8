#pragma once

/* A shared library that is loaded when it is first needed: who never uses it does not pay for it, and need
   not have it. Its functions keep their names: a door defines each as a call through a pointer. */

struct starling_symbol {
    const char *name;
    void **function;
};

struct starling_library {
    const char *names[4];                   /* tried in this order; null ends the list */
    const char *remedy;                     /* what to install */
    const struct starling_symbol *symbols;  /* a null name ends the list */
    void *handle;
};

/* Finds all functions of a library, once; after a failure the next call tries again. Safe on all threads. Returns
   null, or the reason and the remedy: a text that lasts until this thread calls it again. */
const char *starling_library_load(struct starling_library *library);

/* For the lists of a door: X(result, name, parameters, arguments). Hidden: the library itself must find
   its own functions, not these. */
#define STARLING_POINTER(result, name, parameters, arguments) static __typeof__(name) *found_##name;
#define STARLING_SYMBOL(result, name, parameters, arguments) {#name, (void **)&found_##name},
#define STARLING_CALL(result, name, parameters, arguments) \
    __attribute__((visibility("hidden"))) result name parameters { return found_##name arguments; }
