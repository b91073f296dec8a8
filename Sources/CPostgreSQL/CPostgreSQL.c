#include "CPostgreSQL.h"

#include "CLibrary.h"

#define FUNCTIONS(X) \
    X(PGconn *, PQconnectdbParams, \
      (const char *const *words, const char *const *values, int expand), (words, values, expand)) \
    X(void, PQfinish, (PGconn *connection), (connection)) \
    X(ConnStatusType, PQstatus, (const PGconn *connection), (connection)) \
    X(char *, PQerrorMessage, (const PGconn *connection), (connection)) \
    X(int, PQsocket, (const PGconn *connection), (connection)) \
    X(PGresult *, PQexec, (PGconn *connection, const char *sql), (connection, sql)) \
    X(PGresult *, PQprepare, \
      (PGconn *connection, const char *name, const char *sql, int count, const Oid *types), \
      (connection, name, sql, count, types)) \
    X(PGresult *, PQexecPrepared, \
      (PGconn *connection, const char *name, int count, const char *const *values, \
       const int *lengths, const int *formats, int format), \
      (connection, name, count, values, lengths, formats, format)) \
    X(int, PQsendQueryPrepared, \
      (PGconn *connection, const char *name, int count, const char *const *values, \
       const int *lengths, const int *formats, int format), \
      (connection, name, count, values, lengths, formats, format)) \
    X(int, PQenterPipelineMode, (PGconn *connection), (connection)) \
    X(int, PQexitPipelineMode, (PGconn *connection), (connection)) \
    X(int, PQpipelineSync, (PGconn *connection), (connection)) \
    X(int, PQconsumeInput, (PGconn *connection), (connection)) \
    X(PGnotify *, PQnotifies, (PGconn *connection), (connection)) \
    X(void, PQfreemem, (void *memory), (memory)) \
    X(PGresult *, PQgetResult, (PGconn *connection), (connection)) \
    X(ExecStatusType, PQresultStatus, (const PGresult *result), (result)) \
    X(void, PQclear, (PGresult *result), (result)) \
    X(char *, PQcmdTuples, (PGresult *result), (result)) \
    X(int, PQntuples, (const PGresult *result), (result)) \
    X(int, PQnfields, (const PGresult *result), (result)) \
    X(Oid, PQftype, (const PGresult *result, int column), (result, column)) \
    X(int, PQgetisnull, (const PGresult *result, int row, int column), (result, row, column)) \
    X(int, PQgetlength, (const PGresult *result, int row, int column), (result, row, column)) \
    X(char *, PQgetvalue, (const PGresult *result, int row, int column), (result, row, column))

/* Those that are used here alone. */
#define OWN_FUNCTIONS(X) \
    X(char *, PQresultErrorField, , ) \
    X(PQnoticeReceiver, PQsetNoticeReceiver, , )

FUNCTIONS(STARLING_POINTER)
OWN_FUNCTIONS(STARLING_POINTER)
FUNCTIONS(STARLING_CALL)

static const struct starling_symbol symbols[] = {
    FUNCTIONS(STARLING_SYMBOL) OWN_FUNCTIONS(STARLING_SYMBOL){0, 0}};

static struct starling_library library = {
    .names = {"libpq.so.5", "libpq.5.dylib", "/opt/homebrew/opt/libpq/lib/libpq.5.dylib"},
    .remedy = "a relay on PostgreSQL needs libpq: apt install libpq5",
    .symbols = symbols,
};

const char *starling_pg_load(void) { return starling_library_load(&library); }

static void silent(void *owner, const PGresult *result) {
    (void)owner;
    (void)result;
}

void starling_pg_silence(PGconn *connection) { found_PQsetNoticeReceiver(connection, silent, 0); }

const char *starling_pg_state(const PGresult *result) {
    const char *state = found_PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state ? state : "";
}

const char *starling_pg_message(const PGresult *result) {
    const char *message = found_PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return message ? message : "";
}
