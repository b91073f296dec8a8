#pragma once
#if __has_include(<libpq-fe.h>)
#include <libpq-fe.h>
#else
#include <postgresql/libpq-fe.h>
#endif
#include <stddef.h>

/* Before any other function: null, or a reason and the remedy, as of starling_library_load. */
const char *starling_pg_load(void);

/* The processor's type comes with a nullable result that Swift closures cannot match: notices of the
   server are not printed to standard error behind the log's back. */
void starling_pg_silence(PGconn *connection);

/* The codes of PQresultErrorField are macros of character constants. */
const char *starling_pg_state(const PGresult *result);
const char *starling_pg_message(const PGresult *result);
