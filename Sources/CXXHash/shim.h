#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>

/* XXH3 is inlined from the header; Swift cannot import its static functions that take
   attributes, so this wrapper gives it a plain one. */
static inline unsigned long long starling_xxh3(const void *data, size_t count, unsigned long long seed) {
    return XXH3_64bits_withSeed(data, count, seed);
}
