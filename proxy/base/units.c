/* Theory of operation: every number is read as a decimal with up to nine digits after the point,
 * held as an integer count of 1e-9, and multiplied by its unit in 128 bits, so that no value goes
 * through floating point and "0.1s" is exactly 100,000,000 ns. */
#include "proxy/base/units.h"
#include "proxy/base/random.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef unsigned __int128 wide;

enum { FRACTION_DIGITS = 9 };
#define FRACTION_ONE UINT64_C(1000000000)

struct unit {
    const char *name;
    uint64_t numerator; /* target units in one of these */
    uint64_t denominator;
};

/* Reads digits[.digits] into billionths. Returns the first character after, NULL when there is no
 * number there or it is too large. */
static const char *read_decimal(const char *text, wide *billionths)
{
    wide value = 0;
    int whole_digits = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++, whole_digits++) {
        if (whole_digits > 20)
            return NULL;
        value = value * 10 + (unsigned)(*p - '0');
    }
    int fraction_digits = 0;
    if (*p == '.') {
        for (p++; isdigit((unsigned char)*p); p++) {
            if (fraction_digits++ >= FRACTION_DIGITS)
                return NULL;
            value = value * 10 + (unsigned)(*p - '0');
        }
    }
    if (whole_digits + fraction_digits == 0)
        return NULL;
    for (int i = fraction_digits; i < FRACTION_DIGITS; i++)
        value *= 10;
    *billionths = value;
    return p;
}

static const struct unit *find_unit(const struct unit *units, const char *name, size_t length)
{
    for (const struct unit *unit = units; unit->name; unit++)
        if (strlen(unit->name) == length && memcmp(unit->name, name, length) == 0)
            return unit;
    return NULL;
}

/* number + unit -> target units, truncated; -1 when malformed, -2 when out of range. */
static int read_quantity(const char *text, size_t length, const struct unit *units, uint64_t *value)
{
    char copy[64];
    if (length >= sizeof(copy))
        return -1;
    memcpy(copy, text, length);
    copy[length] = '\0';
    wide billionths;
    const char *name = read_decimal(copy, &billionths);
    if (!name)
        return -1;
    const struct unit *unit = find_unit(units, name, strlen(name));
    if (!unit && billionths == 0 && *name == '\0')
        unit = &units[0];
    if (!unit)
        return -1;
    wide limit = ~(wide)0 / (unit->numerator ? unit->numerator : 1);
    if (billionths > limit)
        return -2;
    wide result = billionths * unit->numerator / unit->denominator / FRACTION_ONE;
    if (result > INT64_MAX)
        return -2;
    *value = (uint64_t)result;
    return 0;
}

static const struct unit duration_units[] = {
    {"ns", 1, 1},
    {"us", 1000, 1},
    {"µs", 1000, 1},
    {"ms", 1000000, 1},
    {"s", 1000000000, 1},
    {"m", UINT64_C(60000000000), 1},
    {"min", UINT64_C(60000000000), 1},
    {"h", UINT64_C(3600000000000), 1},
    {NULL, 0, 0},
};

static const char duration_hint[] = "write a number and a unit, such as 250us, 80ms, 1.5s or 2m";

static int parse_duration_span(const char *text, size_t length, uint64_t *value,
                               struct error *error)
{
    int result = read_quantity(text, length, duration_units, value);
    if (result == -2)
        return error_set(error, -EINVAL, "duration '%.*s' is too long (292 years at most)",
                         (int)length, text);
    if (result)
        return error_set(error, -EINVAL, "'%.*s' is not a duration: %s", (int)length, text,
                         duration_hint);
    return 0;
}

int units_parse_duration(const char *text, uint64_t *duration_ns, struct error *error)
{
    return parse_duration_span(text, strlen(text), duration_ns, error);
}

int units_parse_offset(const char *text, int64_t *offset_ns, struct error *error)
{
    bool negative = text[0] == '-';
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    uint64_t magnitude = 0;
    int result = parse_duration_span(digits, strlen(digits), &magnitude, error);
    if (result)
        return result;
    *offset_ns = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return 0;
}

int units_parse_duration_spread(const char *text, uint64_t *duration_ns, uint64_t *spread_ns,
                                struct error *error)
{
    const char *separator = strstr(text, "±");
    size_t width = strlen("±");
    if (!separator) {
        separator = strstr(text, "+-");
        width = 2;
    }
    uint64_t duration = 0, spread = 0;
    size_t length = separator ? (size_t)(separator - text) : strlen(text);
    int result = parse_duration_span(text, length, &duration, error);
    if (!result && separator)
        result = units_parse_duration(separator + width, &spread, error);
    if (result)
        return result;
    *duration_ns = duration;
    *spread_ns = spread;
    return 0;
}

int units_parse_probability(const char *text, uint32_t *ppb, struct error *error)
{
    static const struct unit units[] = {
        {"", RANDOM_PPB_ONE, 1}, {"%", RANDOM_PPB_ONE, 100}, {NULL, 0, 0}};
    uint64_t value;
    if (read_quantity(text, strlen(text), units, &value) || value > RANDOM_PPB_ONE)
        return error_set(error, -EINVAL,
                         "'%s' is not a probability: write 0%% to 100%%, such as 5%% or 0.1%%",
                         text);
    *ppb = (uint32_t)value;
    return 0;
}

/* Rates are looked up in lower case for "bit", exactly for bytes. */
static const struct unit rate_units[] = {
    {"bit", 1, 8},
    {"kbit", 1000, 8},
    {"mbit", 1000000, 8},
    {"gbit", 1000000000, 8},
    {"B/s", 1, 1},
    {"kB/s", 1000, 1},
    {"KB/s", 1000, 1},
    {"MB/s", 1000000, 1},
    {"GB/s", 1000000000, 1},
    {"KiB/s", 1 << 10, 1},
    {"MiB/s", 1 << 20, 1},
    {"GiB/s", 1 << 30, 1},
    {NULL, 0, 0},
};

int units_parse_rate(const char *text, uint64_t *bytes_per_s, struct error *error)
{
    char copy[64];
    uint64_t value = 0;
    int length = snprintf(copy, sizeof(copy), "%s", text);
    size_t used = length < (int)sizeof(copy) ? (size_t)length : sizeof(copy) - 1;
    size_t number = strspn(copy, "0123456789.");
    size_t tail = used - number;
    if (tail >= 5 && strcasecmp(copy + used - 5, "bit/s") == 0)
        copy[used - 2] = '\0';
    used = strlen(copy);
    if (used - number >= 3 && strcasecmp(copy + used - 3, "bit") == 0)
        for (size_t i = number; i < used; i++)
            copy[i] = (char)tolower((unsigned char)copy[i]);
    int result = length < (int)sizeof(copy) ? read_quantity(copy, used, rate_units, &value) : -1;
    if (result || value == 0)
        return error_set(
            error, -EINVAL,
            "'%s' is not a rate: write one above zero, such as 10mbit, 64kbit or 1MB/s", text);
    *bytes_per_s = value;
    return 0;
}

int units_parse_size(const char *text, uint64_t *bytes, struct error *error)
{
    static const struct unit units[] = {
        {"", 1, 1},          {"B", 1, 1},           {"kB", 1000, 1},     {"KB", 1000, 1},
        {"MB", 1000000, 1},  {"GB", 1000000000, 1}, {"KiB", 1 << 10, 1}, {"MiB", 1 << 20, 1},
        {"GiB", 1 << 30, 1}, {NULL, 0, 0},
    };
    uint64_t value;
    if (read_quantity(text, strlen(text), units, &value))
        return error_set(error, -EINVAL,
                         "'%s' is not a size: write bytes, such as 1500, 64KiB or 1MB", text);
    *bytes = value;
    return 0;
}

int units_parse_drift(const char *text, int64_t *drift_ppb, struct error *error)
{
    static const struct unit units[] = {
        {"ppb", 1, 1}, {"ppm", 1000, 1}, {"%", RANDOM_PPB_ONE, 100}, {NULL, 0, 0}};
    bool negative = text[0] == '-';
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    uint64_t value;
    if (read_quantity(digits, strlen(digits), units, &value) || value > RANDOM_PPB_ONE)
        return error_set(error, -EINVAL,
                         "'%s' is not a drift: write 50ppm, -20ppm or 100ppb (at most 100%%)",
                         text);
    *drift_ppb = negative ? -(int64_t)value : (int64_t)value;
    return 0;
}

int units_parse_integer(const char *text, int64_t minimum, int64_t maximum, const char *what,
                        int64_t *value, struct error *error)
{
    bool negative = text[0] == '-';
    const char *p = text + negative;
    wide magnitude = 0;
    bool valid = *p != '\0';
    for (; *p && valid; p++) {
        valid = isdigit((unsigned char)*p) && magnitude <= UINT64_MAX;
        magnitude = magnitude * 10 + (unsigned)(*p - '0');
    }
    valid = valid && magnitude <= INT64_MAX;
    int64_t result = valid ? (negative ? -(int64_t)magnitude : (int64_t)magnitude) : 0;
    if (!valid || result < minimum || result > maximum)
        return error_set(error, -EINVAL,
                         "'%s' is not a valid %s: write a whole number from %" PRId64
                         " to %" PRId64,
                         text, what, minimum, maximum);
    *value = result;
    return 0;
}

int units_parse_unsigned(const char *text, const char *what, uint64_t *value, struct error *error)
{
    wide number = 0;
    bool valid = text[0] != '\0';
    for (const char *p = text; *p && valid; p++) {
        number = number * 10 + (unsigned)(*p - '0');
        valid = isdigit((unsigned char)*p) && number <= UINT64_MAX;
    }
    if (!valid)
        return error_set(error, -EINVAL,
                         "'%s' is not a valid %s: write a whole number from 0 to %" PRIu64, text,
                         what, UINT64_MAX);
    *value = (uint64_t)number;
    return 0;
}

/* value / one with the fraction's trailing zeros cut. one: a power of ten. */
static int format_decimal(uint64_t value, uint64_t one, char *buffer)
{
    int length = snprintf(buffer, UNITS_TEXT_MAX, "%" PRIu64, value / one);
    uint64_t rest = value % one;
    if (!rest)
        return length;
    buffer[length++] = '.';
    for (uint64_t place = one / 10; rest; place /= 10) {
        buffer[length++] = (char)('0' + rest / place);
        rest %= place;
    }
    buffer[length] = '\0';
    return length;
}

const char *units_format_duration(uint64_t duration_ns, char *buffer)
{
    static const struct {
        uint64_t one;
        const char *name;
    } steps[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    size_t step = 0;
    while (duration_ns && step < 3 && duration_ns < steps[step].one)
        step++;
    int length = format_decimal(duration_ns, steps[step].one, buffer);
    snprintf(buffer + length, UNITS_TEXT_MAX - (size_t)length, "%s", steps[step].name);
    return buffer;
}

const char *units_format_offset(int64_t offset_ns, char *buffer)
{
    uint64_t magnitude = offset_ns < 0 ? -(uint64_t)offset_ns : (uint64_t)offset_ns;
    char unsigned_text[UNITS_TEXT_MAX];
    units_format_duration(magnitude, unsigned_text);
    snprintf(buffer, UNITS_TEXT_MAX, "%s%.46s",
             offset_ns < 0   ? "-"
             : offset_ns > 0 ? "+"
                             : "",
             unsigned_text);
    return buffer;
}

const char *units_format_probability(uint32_t ppb, char *buffer)
{
    int length = format_decimal(ppb, RANDOM_PPB_ONE / 100, buffer);
    snprintf(buffer + length, UNITS_TEXT_MAX - (size_t)length, "%%");
    return buffer;
}

const char *units_format_rate(uint64_t bytes_per_s, char *buffer)
{
    static const struct {
        uint64_t one;
        const char *name;
    } steps[] = {{1000000000, "gbit"}, {1000000, "mbit"}, {1000, "kbit"}};
    if (bytes_per_s > UINT64_MAX / 8) {
        snprintf(buffer, UNITS_TEXT_MAX, "%" PRIu64 "B/s", bytes_per_s);
        return buffer;
    }
    uint64_t bits = bytes_per_s * 8;
    for (size_t i = 0; i < 3; i++) {
        if (bits < steps[i].one)
            continue;
        int length = format_decimal(bits, steps[i].one, buffer);
        snprintf(buffer + length, UNITS_TEXT_MAX - (size_t)length, "%s", steps[i].name);
        return buffer;
    }
    snprintf(buffer, UNITS_TEXT_MAX, "%" PRIu64 "bit", bits);
    return buffer;
}

const char *units_format_drift(int64_t drift_ppb, char *buffer)
{
    uint64_t magnitude = drift_ppb < 0 ? -(uint64_t)drift_ppb : (uint64_t)drift_ppb;
    char digits[UNITS_TEXT_MAX];
    format_decimal(magnitude, 1000, digits);
    snprintf(buffer, UNITS_TEXT_MAX, "%s%.40sppm", drift_ppb < 0 ? "-" : "", digits);
    return buffer;
}
