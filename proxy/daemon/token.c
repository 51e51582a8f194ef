#include "proxy/daemon/token.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { RANDOM_BYTES = 16 };

static int take(const char *text, const char *place, char token[TOKEN_MAX], struct error *error)
{
    size_t length = strcspn(text, "\r\n");
    bool fine = length > 0 && length < TOKEN_MAX;
    for (size_t i = 0; fine && i < length; i++)
        fine = text[i] > ' ' && text[i] < 0x7f;
    if (!fine)
        return error_set_at(error, -EINVAL, place,
                            "a token is one line of 1 to %d visible ASCII characters",
                            TOKEN_MAX - 1);
    snprintf(token, TOKEN_MAX, "%.*s", (int)length, text);
    return 0;
}

static int read_line(const char *path, char *line, size_t size, struct error *error)
{
    errno = 0;
    FILE *file = fopen(path, "re");
    bool got = file && fgets(line, (int)size, file);
    int code = got ? 0 : errno ? -errno : -EINVAL;
    if (file)
        fclose(file);
    if (code)
        return error_set_at(error, code, path, "%s",
                            code == -EINVAL ? "the file is empty: write a token into it"
                                            : strerror(-code));
    return 0;
}

static int make(char token[TOKEN_MAX], struct error *error)
{
    uint8_t bytes[RANDOM_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_set(error, -EIO, "no random token: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

int token_choose(const char *file, const char *environment, bool needed, char token[TOKEN_MAX],
                 bool *made, struct error *error)
{
    char line[TOKEN_MAX + 2] = "";
    token[0] = '\0';
    *made = false;
    if (file) {
        int code = read_line(file, line, sizeof(line), error);
        return code ? code : take(line, file, token, error);
    }
    if (environment && environment[0])
        return take(environment, "SEVER_TOKEN", token, error);
    *made = needed;
    return needed ? make(token, error) : 0;
}
