/* What happens, told while it happens: lines with the time since the start of the workload. */
#ifndef SEVER_CHAOS_REPORT_STORY_H
#define SEVER_CHAOS_REPORT_STORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/base/text.h"

enum story_kind { STORY_PLAIN, STORY_FAULT, STORY_HEAL, STORY_ROLE, STORY_GOOD, STORY_BAD };

struct story {
    pthread_mutex_t lock;
    FILE *out; /* NULL: nobody listens */
    bool colour;
    uint64_t origin_ns; /* 0: not started yet, lines have no time */
    struct text told;   /* all of it, without colour */
};

/* out is borrowed. Colour only on a terminal, and not when NO_COLOR is set. */
void story_init(struct story *story, FILE *out);
void story_free(struct story *story);
/* Any thread. at_ns: monotonic. */
void story_say(struct story *story, uint64_t at_ns, enum story_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void story_set_origin(struct story *story, uint64_t origin_ns);

#endif
