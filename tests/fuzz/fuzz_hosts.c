/* An nsswitch.conf, as a host may have it: what the nodes of a lab get in its place looks host
 * names up in files first, and is the same otherwise. */
#include "tests/fuzz/fuzz.h"

#include "proxy/lab/hosts.h"

/* Its first line that begins so; NULL: none. */
static const char *find_line(const char *text, const char *begin)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, begin, strlen(begin)) == 0)
            return line;
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct text fixed = {0}, twice = {0};
    char *given = fuzz_copy_text(bytes, size);
    if (hosts_fix_switch(given, &fixed)) {
        const char *before = find_line(given, "hosts:");
        const char *after = find_line(text_get(&fixed), "hosts:");
        require(before && after && before - given == after - text_get(&fixed));
        require(strncmp(given, text_get(&fixed), (size_t)(before - given)) == 0);
        require(strcmp(before + strcspn(before, "\n"), after + strcspn(after, "\n")) == 0);
        require(!hosts_fix_switch(text_get(&fixed), &twice)); /* it is fixed */
    }
    require(twice.length == 0);
    text_free(&fixed);
    text_free(&twice);
    free(given);
    return 0;
}
