/* See the header. The methods of a file do their work through the real VFS; around each call that
   changes a file stands the check whether its process still lives. One thread only. */
#include "CSimulatedDisk.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512

typedef struct Write {
    struct Write *next;
    int64_t offset;
    int64_t size;    /* -1: truncated to `offset` */
    unsigned char bytes[];
} Write;

/* What one path holds: the durable image, and the writes since. */
typedef struct Tracked {
    struct Tracked *next;
    char *path;
    unsigned char *image;
    int64_t size;
    int64_t room;
    Write *first;
    Write *last;
} Tracked;

typedef struct {
    sqlite3_file base;
    int process;
    Tracked *tracked; /* null for files without a name */
    sqlite3_file *real;
} File;

typedef struct {
    int is_dead;
    int open_files;
    int fault;
    int64_t calls;
    int64_t from;
    int64_t count;
} Process;

static sqlite3_vfs *real_vfs;
static sqlite3_vfs disk_vfs;
static Tracked *tracked_files;
static Process *processes;
static int process_count;
static int current_process;
static int64_t current_milliseconds;
static uint64_t random_state;

/* MARK: Processes */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int simulated_disk_spawn(void) {
    Process *more = realloc(processes, sizeof(Process) * (size_t)(process_count + 1));
    if (!more) abort();
    processes = more;
    memset(&processes[process_count], 0, sizeof(Process));
    return process_count++;
}

void simulated_disk_run_as(int process, int64_t unix_milliseconds) {
    current_process = process;
    current_milliseconds = unix_milliseconds;
}

void simulated_disk_kill(int process) { processes[process].is_dead = 1; }
int simulated_disk_is_dead(int process) { return processes[process].is_dead; }
int simulated_disk_open_files(int process) { return processes[process].open_files; }
int64_t simulated_disk_calls(int process) { return processes[process].calls; }

void simulated_disk_plan(int process, int fault, int64_t after, int64_t count) {
    Process *p = &processes[process];
    p->fault = fault;
    p->from = p->calls + after;
    p->count = count;
}

/* Counts a changing call. Returns the SQLite code to fail with, 0 to go on; sets `*dies` when the
   process dies behind it. */
static int enter_call(int process, int is_write, int *dies) {
    Process *p = &processes[process];
    *dies = 0;
    if (p->is_dead) return SQLITE_IOERR;
    p->calls++;
    if (p->fault == SIMULATED_DISK_NONE || p->calls <= p->from) return SQLITE_OK;
    if (p->calls > p->from + p->count) {
        p->fault = SIMULATED_DISK_NONE;
        return SQLITE_OK;
    }
    switch (p->fault) {
    case SIMULATED_DISK_DIES_BEFORE: p->is_dead = 1; return SQLITE_IOERR;
    case SIMULATED_DISK_DIES_AFTER: *dies = 1; return SQLITE_OK;
    case SIMULATED_DISK_FULL: return is_write ? SQLITE_FULL : SQLITE_OK;
    default: return SQLITE_IOERR;
    }
}

static int leave_call(int process, int code, int dies) {
    if (!dies) return code;
    processes[process].is_dead = 1;
    return SQLITE_IOERR;
}

/* MARK: Images */

static void grow(Tracked *t, int64_t size) {
    if (size > t->room) {
        int64_t room = t->room < 65536 ? 65536 : t->room;
        while (room < size) room *= 2;
        unsigned char *image = realloc(t->image, (size_t)room);
        if (!image) abort();
        t->image = image;
        t->room = room;
    }
    if (size > t->size) {
        memset(t->image + t->size, 0, (size_t)(size - t->size));
        t->size = size;
    }
}

/* Applies sectors of `w`; each is kept with the chance keep/100 when `state` is given. */
static void apply_write(Tracked *t, const Write *w, uint64_t *state, int keep) {
    if (w->size < 0) {
        if (w->offset < t->size) t->size = w->offset;
        return;
    }
    for (int64_t done = 0; done < w->size;) {
        int64_t piece = SECTOR - (w->offset + done) % SECTOR;
        if (piece > w->size - done) piece = w->size - done;
        if (!state || (int)(next_random(state) % 100) < keep) {
            grow(t, w->offset + done + piece);
            memcpy(t->image + w->offset + done, w->bytes + done, (size_t)piece);
        }
        done += piece;
    }
}

static void drop_writes(Tracked *t) {
    while (t->first) {
        Write *next = t->first->next;
        free(t->first);
        t->first = next;
    }
    t->last = 0;
}

static void remember(Tracked *t, int64_t offset, const void *bytes, int64_t size) {
    if (!t) return;
    Write *w = malloc(sizeof(Write) + (size_t)(size > 0 ? size : 0));
    if (!w) abort();
    w->next = 0;
    w->offset = offset;
    w->size = size;
    if (size > 0) memcpy(w->bytes, bytes, (size_t)size);
    if (t->last) t->last->next = w; else t->first = w;
    t->last = w;
}

static Tracked *find(const char *path) {
    for (Tracked *t = tracked_files; t; t = t->next)
        if (strcmp(t->path, path) == 0) return t;
    return 0;
}

static Tracked *track(const char *path) {
    Tracked *t = find(path);
    if (t) return t;
    t = calloc(1, sizeof(Tracked));
    if (!t) abort();
    t->path = strdup(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        unsigned char buffer[65536];
        for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) {
            int64_t at = t->size;
            grow(t, at + n);
            memcpy(t->image + at, buffer, (size_t)n);
        }
        close(fd);
    }
    t->next = tracked_files;
    tracked_files = t;
    return t;
}

static void untrack(const char *path, int is_prefix) {
    size_t length = strlen(path);
    for (Tracked **place = &tracked_files; *place;) {
        Tracked *t = *place;
        if (is_prefix ? strncmp(t->path, path, length) == 0 : strcmp(t->path, path) == 0) {
            *place = t->next;
            drop_writes(t);
            free(t->image);
            free(t->path);
            free(t);
        } else {
            place = &t->next;
        }
    }
}

void simulated_disk_forget(const char *prefix) { untrack(prefix, 1); }

void simulated_disk_reset(uint64_t seed) {
    untrack("", 1);
    free(processes);
    processes = 0;
    process_count = 0;
    random_state = seed;
    sqlite3_randomness(0, 0);
    simulated_disk_run_as(simulated_disk_spawn(), 0);
}

static int write_file(const Tracked *t) {
    int fd = open(t->path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return -1;
    int64_t done = 0;
    while (done < t->size) {
        ssize_t n = write(fd, t->image + done, (size_t)(t->size - done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += n;
    }
    close(fd);
    return done == t->size ? 0 : -1;
}

int64_t simulated_disk_lose_power(const char *prefix, uint64_t seed) {
    int64_t lost = 0;
    size_t length = strlen(prefix);
    /* A fixed order: the list has the newest file first, which is the same in every run. */
    for (Tracked *t = tracked_files; t; t = t->next) {
        if (strncmp(t->path, prefix, length) != 0) continue;
        int64_t count = 0;
        for (Write *w = t->first; w; w = w->next) count++;
        int policy = (int)(next_random(&seed) % 4);
        int64_t kept = policy == 0 ? 0 : (int64_t)(next_random(&seed) % (uint64_t)(count + 1));
        int64_t index = 0;
        for (Write *w = t->first; w; w = w->next, index++) {
            if (policy == 3) {
                apply_write(t, w, &seed, 60); /* any part, in any order */
                lost++;
            } else if (index < kept) {
                apply_write(t, w, 0, 100);
            } else {
                if (index == kept && policy == 2) apply_write(t, w, &seed, 50); /* torn */
                lost++;
            }
        }
        drop_writes(t);
        if (write_file(t) != 0) return -1;
    }
    return lost;
}

/* MARK: The methods of a file */

static int disk_close(sqlite3_file *f) {
    File *file = (File *)f;
    int rc = file->real->pMethods ? file->real->pMethods->xClose(file->real) : SQLITE_OK;
    processes[file->process].open_files--;
    return rc;
}

static int disk_read(sqlite3_file *f, void *to, int size, sqlite3_int64 offset) {
    File *file = (File *)f;
    if (processes[file->process].is_dead) return SQLITE_IOERR_READ;
    return file->real->pMethods->xRead(file->real, to, size, offset);
}

static int disk_write(sqlite3_file *f, const void *from, int size, sqlite3_int64 offset) {
    File *file = (File *)f;
    int dies;
    int rc = enter_call(file->process, 1, &dies);
    if (rc != SQLITE_OK) return rc == SQLITE_IOERR ? SQLITE_IOERR_WRITE : rc;
    rc = file->real->pMethods->xWrite(file->real, from, size, offset);
    if (rc == SQLITE_OK) remember(file->tracked, offset, from, size);
    return leave_call(file->process, rc, dies);
}

static int disk_truncate(sqlite3_file *f, sqlite3_int64 size) {
    File *file = (File *)f;
    int dies;
    int rc = enter_call(file->process, 0, &dies);
    if (rc != SQLITE_OK) return SQLITE_IOERR_TRUNCATE;
    rc = file->real->pMethods->xTruncate(file->real, size);
    if (rc == SQLITE_OK) remember(file->tracked, size, 0, -1);
    return leave_call(file->process, rc, dies);
}

static int disk_sync(sqlite3_file *f, int flags) {
    File *file = (File *)f;
    int dies;
    (void)flags;
    int rc = enter_call(file->process, 0, &dies);
    if (rc != SQLITE_OK) return SQLITE_IOERR_FSYNC;
    Tracked *t = file->tracked;
    if (t) {
        for (Write *w = t->first; w; w = w->next) apply_write(t, w, 0, 100);
        drop_writes(t);
    }
    return leave_call(file->process, SQLITE_OK, dies);
}

static int disk_file_size(sqlite3_file *f, sqlite3_int64 *size) {
    File *file = (File *)f;
    return file->real->pMethods->xFileSize(file->real, size);
}
static int disk_lock(sqlite3_file *f, int level) {
    File *file = (File *)f;
    return file->real->pMethods->xLock(file->real, level);
}
static int disk_unlock(sqlite3_file *f, int level) {
    File *file = (File *)f;
    return file->real->pMethods->xUnlock(file->real, level);
}
static int disk_check_reserved(sqlite3_file *f, int *out) {
    File *file = (File *)f;
    return file->real->pMethods->xCheckReservedLock(file->real, out);
}
static int disk_control(sqlite3_file *f, int op, void *argument) {
    File *file = (File *)f;
    return file->real->pMethods->xFileControl(file->real, op, argument);
}
static int disk_sector_size(sqlite3_file *f) {
    File *file = (File *)f;
    return file->real->pMethods->xSectorSize(file->real);
}
static int disk_characteristics(sqlite3_file *f) {
    (void)f;
    return 0; /* no promise: neither powersafe overwrite nor atomic writes */
}
static int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out) {
    File *file = (File *)f;
    return file->real->pMethods->xShmMap(file->real, page, size, extend, out);
}
static int disk_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
    File *file = (File *)f;
    return file->real->pMethods->xShmLock(file->real, offset, n, flags);
}
static void disk_shm_barrier(sqlite3_file *f) {
    File *file = (File *)f;
    file->real->pMethods->xShmBarrier(file->real);
}
static int disk_shm_unmap(sqlite3_file *f, int remove) {
    File *file = (File *)f;
    return file->real->pMethods->xShmUnmap(file->real, remove);
}

static const sqlite3_io_methods disk_methods = {
    2,           disk_close,     disk_read,           disk_write,   disk_truncate,
    disk_sync,   disk_file_size, disk_lock,           disk_unlock,  disk_check_reserved,
    disk_control, disk_sector_size, disk_characteristics, disk_shm_map, disk_shm_lock,
    disk_shm_barrier, disk_shm_unmap, 0, 0,
};

/* MARK: The methods of the disk */

static int disk_open(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *flags_out) {
    (void)vfs;
    File *file = (File *)f;
    memset(file, 0, sizeof(File));
    file->process = current_process;
    file->real = (sqlite3_file *)(file + 1);
    if (processes[current_process].is_dead) return SQLITE_CANTOPEN;
    /* Known before it is opened, so that the image is what was there. */
    if (name && !(flags & SQLITE_OPEN_DELETEONCLOSE)) file->tracked = track(name);
    int rc = real_vfs->xOpen(real_vfs, name, file->real, flags, flags_out);
    if (rc != SQLITE_OK) {
        if (file->real->pMethods) file->real->pMethods->xClose(file->real);
        return rc;
    }
    file->base.pMethods = &disk_methods;
    processes[current_process].open_files++;
    return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    (void)vfs;
    int dies;
    int rc = enter_call(current_process, 0, &dies);
    if (rc != SQLITE_OK) return SQLITE_IOERR_DELETE;
    rc = real_vfs->xDelete(real_vfs, name, sync);
    if (rc == SQLITE_OK) untrack(name, 0);
    return leave_call(current_process, rc, dies);
}
static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
    (void)vfs;
    return real_vfs->xAccess(real_vfs, name, flags, out);
}
static int disk_full_path(sqlite3_vfs *vfs, const char *name, int size, char *out) {
    (void)vfs;
    return real_vfs->xFullPathname(real_vfs, name, size, out);
}
static int disk_randomness(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs;
    for (int i = 0; i < size; i++) out[i] = (char)next_random(&random_state);
    return size;
}
static int disk_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    return microseconds; /* nobody else runs meanwhile */
}
static int disk_current_time64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    (void)vfs;
    *out = 210866760000000ll + current_milliseconds;
    return SQLITE_OK;
}
static int disk_current_time(sqlite3_vfs *vfs, double *out) {
    sqlite3_int64 milliseconds;
    disk_current_time64(vfs, &milliseconds);
    *out = (double)milliseconds / 86400000.0;
    return SQLITE_OK;
}
static int disk_last_error(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs;
    return real_vfs->xGetLastError ? real_vfs->xGetLastError(real_vfs, size, out) : 0;
}

int simulated_disk_install(void) {
    if (real_vfs) return SQLITE_OK;
    real_vfs = sqlite3_vfs_find(0);
    if (!real_vfs) return SQLITE_ERROR;
    disk_vfs = *real_vfs;
    disk_vfs.iVersion = 2;
    disk_vfs.szOsFile = (int)sizeof(File) + real_vfs->szOsFile;
    disk_vfs.pNext = 0;
    disk_vfs.zName = "simulated";
    disk_vfs.xOpen = disk_open;
    disk_vfs.xDelete = disk_delete;
    disk_vfs.xAccess = disk_access;
    disk_vfs.xFullPathname = disk_full_path;
    disk_vfs.xRandomness = disk_randomness;
    disk_vfs.xSleep = disk_sleep;
    disk_vfs.xCurrentTime = disk_current_time;
    disk_vfs.xCurrentTimeInt64 = disk_current_time64;
    disk_vfs.xGetLastError = disk_last_error;
    return sqlite3_vfs_register(&disk_vfs, 1);
}
