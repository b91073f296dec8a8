/* A disk that loses power, and processes that die between two of its calls: an SQLite VFS over the
   real one. It keeps, for every file, what a flush has made durable and what was only written. */
#pragma once
#include <stdint.h>

/* Makes this disk the default of every SQLite connection opened from now on. Returns an SQLite code. */
int simulated_disk_install(void);

/* Forgets all files and processes, and starts randomness from `seed`. No connection may be open. */
void simulated_disk_reset(uint64_t seed);

/* A new process; connections opened while it runs belong to it. Returns its number. */
int simulated_disk_spawn(void);

/* Runs as `process` from now on, at `unix_milliseconds` on its machine's clock. */
void simulated_disk_run_as(int process, int64_t unix_milliseconds);

/* The process is dead: nothing that it still does reaches a file. */
void simulated_disk_kill(int process);
int simulated_disk_is_dead(int process);

/* Connections' files of the process that are still open. */
int simulated_disk_open_files(int process);

/* Calls of the process that change a file, so far. */
int64_t simulated_disk_calls(int process);

enum simulated_disk_fault {
    SIMULATED_DISK_NONE = 0,
    SIMULATED_DISK_DIES_BEFORE, /* the process dies, the call has no effect */
    SIMULATED_DISK_DIES_AFTER,  /* the call has its effect, then the process dies */
    SIMULATED_DISK_FULL,        /* writes find no room */
    SIMULATED_DISK_ERROR        /* the call fails */
};

/* From the `after`-th changing call on, `count` of them meet the fault. */
void simulated_disk_plan(int process, int fault, int64_t after, int64_t count);

/* Power is lost for all files whose path starts with `prefix`. Of what was not flushed, by `seed`, a
   beginning is kept, or any part, or nothing; the last sectors may be torn. No process may have one
   of them open. Returns how many writes were lost, or -1 when a file could not be written. */
int64_t simulated_disk_lose_power(const char *prefix, uint64_t seed);

/* The files whose path starts with `prefix` are replaced from outside, all on disk. */
void simulated_disk_forget(const char *prefix);
