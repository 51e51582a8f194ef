#include "chaos/report/story.h"

#include <stdlib.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

static const char *const colours[] = {
    [STORY_PLAIN] = "",        [STORY_FAULT] = "\033[33m", [STORY_HEAL] = "\033[36m",
    [STORY_ROLE] = "\033[35m", [STORY_GOOD] = "\033[32m",  [STORY_BAD] = "\033[31m",
};

void story_init(struct story *story, FILE *out)
{
    *story = (struct story){.out = out};
    const char *no_colour = getenv("NO_COLOR");
    story->colour = out && isatty(fileno(out)) && !(no_colour && *no_colour);
    pthread_mutex_init(&story->lock, NULL);
}

void story_free(struct story *story)
{
    text_free(&story->told);
    pthread_mutex_destroy(&story->lock);
}

void story_set_origin(struct story *story, uint64_t origin_ns)
{
    pthread_mutex_lock(&story->lock);
    story->origin_ns = origin_ns;
    pthread_mutex_unlock(&story->lock);
}

void story_say(struct story *story, uint64_t at_ns, enum story_kind kind, const char *format, ...)
{
    struct text line = {0};
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&story->lock);
    if (story->origin_ns) {
        uint64_t since = at_ns > story->origin_ns ? at_ns - story->origin_ns : 0;
        text_append(&line, "%8.3fs  ", (double)since / (double)NS_PER_S);
    } else {
        text_append(&line, "%11s", "");
    }
    text_append_va(&line, format, args);
    text_append(&story->told, "%s\n", text_get(&line));
    if (story->out) {
        bool colour = story->colour && colours[kind][0];
        fprintf(story->out, "%s%s%s\n", colour ? colours[kind] : "", text_get(&line),
                colour ? "\033[0m" : "");
        fflush(story->out);
    }
    pthread_mutex_unlock(&story->lock);
    va_end(args);
    text_free(&line);
}
