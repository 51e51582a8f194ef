/* Words of a filter expression that libpcap would look up. Internal to proxy/match. */
#ifndef SEVER_MATCH_NAMES_H
#define SEVER_MATCH_NAMES_H

#include "proxy/base/error.h"

/* 0 when the expression has only numbers, addresses and words of the filter language; else -EINVAL
 * with the word. libpcap asks DNS and the files in /etc for all others, and would block. */
int names_check(const char *expression, struct error *error);

#endif
