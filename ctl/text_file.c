#include "ctl/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int text_file_read(const char *path, size_t limit, struct text *content, struct error *error)
{
    char buffer[65536];
    bool standard_input = strcmp(path, "-") == 0;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    ssize_t got;
    do {
        got = read(fd, buffer, sizeof(buffer));
        if (got > 0)
            text_append_bytes(content, buffer, (size_t)got);
    } while ((got > 0 && content->length <= limit) || (got < 0 && errno == EINTR));
    int result = got < 0 ? error_set_at(error, -errno, path, "%s", strerror(errno)) : 0;
    if (!standard_input)
        close(fd);
    return result;
}

void text_file_name(struct error *error, const char *path)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%s", error->place);
    snprintf(error->place, sizeof(error->place), "%s%s%s", path, place[0] ? ": " : "", place);
}
