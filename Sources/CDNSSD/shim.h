/* The only door to DNS-SD: the Bonjour API, which on Linux is a layer of Avahi over D-Bus. */
#pragma once
#include <dlfcn.h>
#include <dns_sd.h>
#include <stddef.h>
#include <stdlib.h>

#ifndef RTLD_DEFAULT
#define RTLD_DEFAULT ((void *)0) /* only declared for GNU and Darwin programs */
#endif

/* The struct AvahiAllocator of avahi-common/malloc.h, repeated here because that header is absent
   on macOS and where only mDNSResponder's dns_sd.h is installed. */
struct starling_avahi_allocator {
    void *(*allocate)(size_t);
    void (*release)(void *);
    void *(*reallocate)(void *, size_t);
    void *(*allocate_cleared)(size_t, size_t);
};

static void *starling_dnssd_allocate_cleared(size_t size) { return calloc(1, size); }

/* Must run once, before the first DNSService call. Avahi 0.8 allocates a DNSServiceRef with malloc
   and leaves its callback pointers unset; when the daemon or the bus goes away it tests the browse
   callback of every reference first, that of a resolve or a query included, and jumps to whatever
   the heap held there. libavahi-common lets the program replace its allocator: this one hands out
   cleared memory. The symbol is looked up, not linked, because only Avahi has it; Swift cannot
   call it because a looked-up address has no type there.
   Returns 1 when the cure is in place, 0 when this is not Avahi and needs none. */
static inline int starling_dnssd_prepare(void) {
    static const struct starling_avahi_allocator cleared = {
        starling_dnssd_allocate_cleared, free, realloc, calloc};
    void (*install)(const struct starling_avahi_allocator *) = 0;
#ifdef RTLD_NOLOAD
    void *library = dlopen("libavahi-common.so.3", RTLD_LAZY | RTLD_NOLOAD);
    if (library) *(void **)&install = dlsym(library, "avahi_set_allocator");
#endif
    if (!install) *(void **)&install = dlsym(RTLD_DEFAULT, "avahi_set_allocator");
    if (!install) return 0;
    install(&cleared);
    return 1;
}
