// Linked into every program of a thread-sanitizer build (`Config/sanitize thread`).

#include <sanitizer/tsan_interface.h>
#include <stdint.h>

// Reports go to files, whatever environment a program was started with: a report of a child that
// nobody waits for counts as well.
const char *__tsan_default_options(void) {
    return "log_path=" STARLING_REPORTS "/report:exitcode=66:second_deadlock_stack=1";
}

// The slow path of Swift's Mutex on Linux lies in a library that the sanitizer does not see, and
// hands the lock over inside the kernel (FUTEX_LOCK_PI). Without being told, the sanitizer takes
// every contended lock for none at all. The fast path is atomic instructions in our own code.
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

SWIFT void real_lock(uint32_t thread, SELF) __asm__("__real_" LOCK_SLOW);
SWIFT void real_unlock(SELF) __asm__("__real_" UNLOCK_SLOW);
SWIFT void wrapped_lock(uint32_t thread, SELF) __asm__("__wrap_" LOCK_SLOW);
SWIFT void wrapped_unlock(SELF) __asm__("__wrap_" UNLOCK_SLOW);

SWIFT void wrapped_lock(uint32_t thread, SELF) {
    real_lock(thread, self);
    __tsan_acquire(self);
}

SWIFT void wrapped_unlock(SELF) {
    __tsan_release(self);
    real_unlock(self);
}
