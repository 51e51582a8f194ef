/* The token in a request's Authorization header: "Bearer TOKEN", or "Basic" with the token as the
 * password, which is how a client sends what its user wrote into the URL. */
#include <string.h>
#include <strings.h>

#include "proxy/api/internal.h"

enum { CREDENTIALS_MAX = API_TOKEN_MAX * 2 };

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* RFC 4648, padded or not. False for what is none or does not fit. */
static bool decode_base64(const char *text, char *buffer, size_t size)
{
    size_t length = strcspn(text, "="), used = 0;
    unsigned bits = 0, count = 0;
    if (strlen(text + length) > 2 || text[length + strspn(text + length, "=")] != '\0')
        return false;
    for (size_t i = 0; i < length; i++) {
        int value = base64_value(text[i]);
        if (value < 0 || used + 1 >= size)
            return false;
        bits = (bits << 6 | (unsigned)value) & 0xffff;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        buffer[used++] = (char)(bits >> count & 0xff);
    }
    buffer[used] = '\0';
    return strlen(buffer) == used;
}

static bool is_same_secret(const char *given, const char *token)
{
    size_t given_length = strlen(given), length = strlen(token);
    unsigned different = given_length != length;
    for (size_t i = 0; i < length; i++)
        different |= (unsigned char)token[i] ^ (unsigned char)given[i < given_length ? i : 0];
    return different == 0;
}

bool api_is_authorized(const char *authorization, const char *token)
{
    char credentials[CREDENTIALS_MAX];
    if (!authorization)
        return false;
    size_t scheme = strcspn(authorization, " ");
    const char *value = authorization + scheme + strspn(authorization + scheme, " ");
    if (scheme == 6 && strncasecmp(authorization, "Bearer", scheme) == 0)
        return is_same_secret(value, token);
    if (scheme != 5 || strncasecmp(authorization, "Basic", scheme) != 0 ||
        !decode_base64(value, credentials, sizeof(credentials)))
        return false;
    const char *colon = strchr(credentials, ':');
    return colon && is_same_secret(colon + 1, token);
}
