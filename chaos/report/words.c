/* The small pure parts of the report. */
#include <stdlib.h>
#include <string.h>

#include "chaos/report/report.h"

enum { MEMBERS_TOLD = 8 }; /* of a side, by name, in a line of the story */

/* Length of the valid UTF-8 sequence at text, 0 when there is none. */
static size_t sequence_length(const unsigned char *text)
{
    static const struct {
        unsigned char mask, lead;
        unsigned long lowest;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t n = 0; n < 4; n++) {
        if ((text[0] & forms[n].mask) != forms[n].lead)
            continue;
        unsigned long code = text[0] & (unsigned char)~forms[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((text[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (text[i] & 0x3f);
        }
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code < forms[n].lowest || code > 0x10ffff || surrogate ? 0 : n + 1;
    }
    return 0;
}

char *report_copy_utf8(const char *text)
{
    char *copy = memory_copy_text(text);
    for (size_t i = 0; copy[i];) {
        size_t length = sequence_length((const unsigned char *)copy + i);
        if (length == 0)
            copy[i] = '?';
        i += length ? length : 1;
    }
    return copy;
}

void report_append_xml(struct text *out, const char *text)
{
    char *clean = report_copy_utf8(text);
    for (const char *at = clean; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '&')
            text_append(out, "&amp;");
        else if (byte == '<')
            text_append(out, "&lt;");
        else if (byte == '>')
            text_append(out, "&gt;");
        else if (byte == '"')
            text_append(out, "&quot;");
        else if (byte == 0xef &&
                 (strncmp(at, "\xef\xbf\xbe", 3) == 0 || strncmp(at, "\xef\xbf\xbf", 3) == 0)) {
            text_append(out, "?"); /* U+FFFE, U+FFFF: Unicode, but no characters of XML */
            at += 2;
        } else if (byte < 0x20 && byte != '\n' && byte != '\t')
            text_append(out, "?");
        else
            text_append_bytes(out, at, 1);
    }
    free(clean);
}

void report_append_shell_word(struct text *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-./:=,+@%";
    if (*word && word[strspn(word, plain)] == '\0') {
        text_append(out, "%s", word);
        return;
    }
    text_append(out, "'");
    for (const char *at = word; *at; at++)
        if (*at == '\'')
            text_append(out, "'\\''");
        else
            text_append_bytes(out, at, 1);
    text_append(out, "'");
}

/* " n1,n2,n3", of long lists the beginning. */
static void append_members(const char (*nodes)[RULESET_NAME_MAX], size_t count, const uint8_t *side,
                           uint8_t which, struct text *out)
{
    size_t told = 0, members = 0;
    for (size_t i = 0; i < count; i++) {
        if (side[i] != which)
            continue;
        if (members++ < MEMBERS_TOLD)
            text_append(out, "%s%s", told++ ? "," : " ", nodes[i]);
    }
    if (members > told)
        text_append(out, " and %zu more", members - told);
}

/* What the nodes on this side answered; NONE: all nodes. */
static void append_side(const char (*nodes)[RULESET_NAME_MAX], size_t count, const uint8_t *side,
                        uint8_t which, const struct workload_counts *before,
                        const struct workload_counts *now, struct text *out)
{
    static const char *const names[] = {"all", "majority", "minority"};
    struct workload_counts sum = {0};
    text_append(out, "%s%s", out->length ? "; " : "", names[which]);
    if (which != CHECK_SIDE_NONE)
        append_members(nodes, count, side, which, out);
    for (size_t i = 0; i < count; i++) {
        if (which != CHECK_SIDE_NONE && side[i] != which)
            continue;
        sum.ok += now[i].ok - before[i].ok;
        uint64_t refused = now[i].refused - before[i].refused;
        uint64_t unknown = now[i].unknown - before[i].unknown;
        sum.refused += refused;
        sum.unknown += unknown;
        if (refused || unknown)
            memcpy(sum.reason, now[i].reason, sizeof(sum.reason));
    }
    text_append(out, ": %llu ok", (unsigned long long)sum.ok);
    if (sum.refused)
        text_append(out, ", %llu refused", (unsigned long long)sum.refused);
    if (sum.unknown)
        text_append(out, ", %llu unknown", (unsigned long long)sum.unknown);
    if (sum.reason[0])
        text_append(out, " (%s)", sum.reason);
}

void report_append_sides(const char (*nodes)[RULESET_NAME_MAX], size_t count, const uint8_t *side,
                         const struct workload_counts *before, const struct workload_counts *now,
                         struct text *out)
{
    struct text line = {0};
    size_t members[3] = {0};
    for (size_t i = 0; i < count; i++)
        members[side[i]]++;
    if (members[CHECK_SIDE_MINORITY])
        append_side(nodes, count, side, CHECK_SIDE_MINORITY, before, now, &line);
    if (members[CHECK_SIDE_MAJORITY])
        append_side(nodes, count, side, CHECK_SIDE_MAJORITY, before, now, &line);
    if (line.length == 0)
        append_side(nodes, count, side, CHECK_SIDE_NONE, before, now, &line);
    text_append(out, "%s", text_get(&line));
    text_free(&line);
}
