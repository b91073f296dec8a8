#pragma once
#include <sqlite3.h>
#include <stdint.h>
#include <time.h>

/* SQLITE_TRANSIENT is a cast of -1 to a function pointer: Swift cannot form it. */
static inline int starling_bind_text(sqlite3_stmt *s, int i, const void *p, sqlite3_uint64 n) {
    return sqlite3_bind_text64(s, i, (const char *)p, n, SQLITE_TRANSIENT, SQLITE_UTF8);
}
static inline int starling_bind_blob(sqlite3_stmt *s, int i, const void *p, sqlite3_uint64 n) {
    return sqlite3_bind_blob64(s, i, p, n, SQLITE_TRANSIENT);
}
/* sqlite3_db_config is variadic: Swift cannot call it. Turns all triggers of this connection on or off. */
static inline int starling_enable_triggers(sqlite3 *db, int on) {
    return sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, on, (int *)0);
}
/* Variadic as above: a statement may not write to shadow tables or the schema table. */
static inline int starling_defensive(sqlite3 *db, int on) {
    return sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, on, (int *)0);
}
/* sqlite3_total_changes64 is newer (3.37) than the oldest library that is supported. */
static inline sqlite3_int64 starling_total_changes(sqlite3 *db) {
#if SQLITE_VERSION_NUMBER >= 3037000
    return sqlite3_total_changes64(db);
#else
    return sqlite3_total_changes(db);
#endif
}
/* Waits for a lock. sqlite3_busy_timeout sleeps a whole millisecond at first, which is longer than most
   transactions take: here 50 µs, doubled up to 5 ms, until `context` milliseconds have gone by. */
static inline int starling_wait_for_lock(void *context, int tries) {
    int64_t limit = (int64_t)(intptr_t)context * 1000, waited = 0, step = 50;
    for (int i = 0; i < tries && waited < limit; i++) {
        waited += step;
        step = step < 2500 ? step * 2 : 5000;
    }
    if (waited >= limit) return 0;
    if (step > limit - waited) step = limit - waited;
    struct timespec pause = {0, (long)(step * 1000)};
    nanosleep(&pause, 0);
    return 1;
}
/* A handler of C's, since SQLite keeps the pointer for the life of the connection. */
static inline void starling_busy_timeout(sqlite3 *db, int milliseconds) {
    sqlite3_busy_handler(
        db, milliseconds > 0 ? starling_wait_for_lock : 0, (void *)(intptr_t)milliseconds);
}
/* Counts a connection's work in hundreds of steps of SQLite's machine, which no other load changes. */
static inline int starling_step(void *counter) {
    ++*(int64_t *)counter;
    return 0;
}
static inline void starling_count_steps(sqlite3 *db, int64_t *counter) {
    sqlite3_progress_handler(db, counter ? 100 : 0, counter ? starling_step : 0, counter);
}
/* The length of the WAL's file in bytes. Returns an SQLite code. */
static inline int starling_log_bytes(sqlite3 *db, sqlite3_int64 *bytes) {
    sqlite3_file *f = 0;
    *bytes = 0;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f);
    if (rc == SQLITE_OK && f && f->pMethods) rc = f->pMethods->xFileSize(f, bytes);
    return rc;
}
/* The method table of sqlite3_file is reached through function pointers in a struct whose first
   member Swift sees as opaque: flush the WAL, then the database file. Returns an SQLite code. */
static inline int starling_sync_files(sqlite3 *db, int with_database) {
    sqlite3_file *f = 0;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f);
    if (rc == SQLITE_OK && f && f->pMethods) rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    if (rc != SQLITE_OK || !with_database) return rc;
    f = 0;
    rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f);
    if (rc == SQLITE_OK && f && f->pMethods) rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    return rc;
}
