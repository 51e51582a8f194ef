/* Pieces of a URL. Pure. */
#ifndef SEVER_API_URL_H
#define SEVER_API_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Percent-decodes length bytes. False for a malformed escape, a NUL, or no room. */
bool api_decode_segment(const char *text, size_t length, char *buffer, size_t size);

/* Is this a Host header that only this machine answers to: localhost, 127.0.0.0/8 or [::1], with
 * any port or none? */
bool api_host_is_loopback(const char *host);

/* Is this a Host header that is an IP address, or localhost: nothing that somebody's name server
 * could lead here? */
bool api_host_is_address(const char *host);

/* Levenshtein distance of two short texts; texts of more than 32 bytes are far (64). */
unsigned api_text_distance(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
