/* Tables for faults that name a file. */
#ifndef SEVER_CTL_TABLES_H
#define SEVER_CTL_TABLES_H

#include <stdbool.h>

#include "ctl/session.h"
#include "proxy/fault/ruleset.h"
#include "proxy/fault/table_text.h"

/* Makes the file a table of severd's, named after it; one of that name with the same values is
 * fine. name: what it is called; *added: it wasn't there before. An exit code. */
int tables_upload(struct session *session, enum table_text_kind kind, const char *file,
                  char name[RULESET_NAME_MAX], bool *added);

#endif
