#pragma once
#if __has_include(<libpq-fe.h>)
#include <libpq-fe.h>
#else
#include <postgresql/libpq-fe.h>
#endif

static inline void starling_pg_silent(void *owner, const PGresult *result) {
    (void)owner;
    (void)result;
}

/* The processor's type comes with a nullable result that Swift closures cannot match: notices of the
   server are not printed to standard error behind the log's back. */
static inline void starling_pg_silence(PGconn *connection) {
    PQsetNoticeReceiver(connection, starling_pg_silent, 0);
}

/* The codes of PQresultErrorField are macros of character constants. */
static inline const char *starling_pg_state(const PGresult *result) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state ? state : "";
}
static inline const char *starling_pg_message(const PGresult *result) {
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return message ? message : "";
}
