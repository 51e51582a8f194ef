/* The lab's host ports (lab_state.h). The lab's thread opens and closes them, and the list is the
 * control thread's: a port is noted when it is open, and forgotten when it is closed, or what it
 * leads to has ended. */
#include "proxy/daemon/lab_state_internal.h"

#include <errno.h>
#include <string.h>

#include "proxy/base/address.h"

int lab_state_may_lead(const struct lab_state *state, const char *name, struct error *error)
{
    if (!state->up)
        return lab_state_no_lab(error);
    const struct lab_entry *entry = lab_state_find(state, name);
    if (!entry)
        return error_set_at(error, -EINVAL, "node", "there is no node '%s' in the lab", name);
    if (state->lost)
        return lab_state_has_ended(error);
    if (!entry->running)
        return error_set_at(error, -EINVAL, "node",
                            "node '%s' has ended: severctl lab remove it, and add it again", name);
    if (state->port_count == LAB_PORTS_MAX)
        return error_set(error, -E2BIG, "a lab has at most %d ports", LAB_PORTS_MAX);
    return 0;
}

int lab_state_open_port(struct lab_state *state, struct wire_lab_port *port, struct error *error)
{
    struct address listen, bound;
    int result = address_parse(port->listen, &listen, error);
    if (result) {
        error_prefix_place(error, "listen");
        return result;
    }
    if (listen.storage.ss_family == AF_UNIX)
        return error_set_at(error, -EINVAL, "listen", "a port is host:port, no unix socket");
    result = lab_add_port(state->lab, &listen, port->node, port->port, &bound, error);
    if (result == 0)
        address_format(&bound, port->listen);
    return result;
}

int lab_state_close_port(struct lab_state *state, const char *listen, struct error *error)
{
    struct address bound;
    int result = address_parse(listen, &bound, error);
    return result ? result : lab_remove_port(state->lab, &bound, error);
}

static size_t find_port(const struct lab_state *state, const char *listen)
{
    size_t i = 0;
    while (i < state->port_count && strcmp(state->ports[i].listen, listen) != 0)
        i++;
    return i;
}

int lab_state_may_close(const struct lab_state *state, const char *listen, struct error *error)
{
    if (!state->up)
        return lab_state_no_lab(error);
    if (find_port(state, listen) == state->port_count)
        return error_set(error, -ENOENT, "nothing of the lab listens on '%.128s'", listen);
    return 0;
}

void lab_state_note_port(struct lab_state *state, const struct wire_lab_port *port)
{
    state->ports[state->port_count++] = *port;
}

void lab_state_forget_port(struct lab_state *state, const char *listen)
{
    size_t i = find_port(state, listen);
    if (i == state->port_count)
        return;
    state->port_count--;
    memmove(&state->ports[i], &state->ports[i + 1],
            (state->port_count - i) * sizeof(state->ports[0]));
}

void lab_state_forget_ports(struct lab_state *state, const char *node)
{
    bool all = strcmp(node, LAB_GATEWAY) == 0;
    size_t kept = 0;
    for (size_t i = 0; i < state->port_count; i++) {
        if (all || strcmp(state->ports[i].node, node) == 0)
            continue;
        state->ports[kept++] = state->ports[i];
    }
    state->port_count = kept;
}
