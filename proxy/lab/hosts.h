/* The hosts file that all nodes of a lab see as /etc/hosts: one file in memory, mounted once by the
 * keeper, whose mount namespace the nodes' are copies of; it is rewritten in place. */
#ifndef SEVER_LAB_HOSTS_H
#define SEVER_LAB_HOSTS_H

#include <stdbool.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"

#define HOSTS_SWITCH "/etc/nsswitch.conf"

/* In a mount namespace of the calling process's own, from which nothing propagates. *fd: the file,
 * to write to. */
int hosts_mount(int *fd, struct error *error);
/* Appends a copy of the text of an nsswitch.conf in which host names are looked up in files first;
 * false when that is so already, or nothing is said about it. */
bool hosts_fix_switch(const char *text, struct text *fixed);
/* The lines that every hosts file has; the line of one address. */
void hosts_append_local(struct text *text);
void hosts_append(struct text *text, const struct address *address, const char *name);
/* Replaces the content. A reader meanwhile may see lines of both. */
int hosts_write(int fd, const struct text *text, struct error *error);

#endif
