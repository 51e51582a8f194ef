/* The Toxiproxy 2.x API as values: the bodies that its clients send, decoded, and what they expect
 * to read, encoded. Nothing here knows HTTP, so a configuration file is read by the same code.
 *
 * A proxy is a tcp route of the ruleset. A toxic is a fault on that route whose name is
 * "PROXY/TOXIC" and which these attributes can express exactly; other faults on the route are shown
 * under their full name, with the attributes of the native API.
 *
 * Reading is as lenient as what clients are used to, and only here: keys in any case, unknown keys
 * ignored, null for an absent key, and nothing after the first JSON value is read. */
#ifndef SEVER_API_TOXIPROXY_H
#define SEVER_API_TOXIPROXY_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

#define TOXIPROXY_VERSION "2.12.0" /* of the API that is spoken; clients compare it */

/* How answers are written: a toxicity is a float of 32 bits, which nine digits tell. */
#define TOXIPROXY_DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

struct toxiproxy_proxy {
    char name[RULESET_NAME_MAX];
    char listen[RULESET_ADDRESS_MAX];
    char upstream[RULESET_ADDRESS_MAX];
    bool enabled;
};

/* The first JSON value of a body; a new reference. NULL with *error (-EINVAL): "bad request body:
 * EOF" for none, "bad request body: unexpected EOF" for one that is cut short, or what is wrong. */
json_t *toxiproxy_parse(const char *body, size_t length, struct error *error);

/* All decoders: 0, or -EINVAL with the message that goes to the client; outputs are then undefined.
 */

/* *proxy has the values of what is absent. */
int toxiproxy_decode_proxy(const json_t *json, struct toxiproxy_proxy *proxy, struct error *error);
/* -EINVAL: "missing required field: name", or upstream; suffix ("" or " at proxy 2") follows. */
int toxiproxy_check_proxy(const struct toxiproxy_proxy *proxy, const char *suffix,
                          struct error *error);
/* An array of new proxies, each checked; null is an empty one. *proxies is the caller's to free. */
int toxiproxy_decode_proxies(const json_t *json, struct toxiproxy_proxy **proxies, size_t *count,
                             struct error *error);
/* A new toxic of that proxy: its name defaults to TYPE_STREAM, its stream to downstream, its
 * toxicity to 1, its attributes to 0. */
int toxiproxy_decode_toxic(const json_t *json, const char *proxy, struct ruleset_fault *toxic,
                           struct error *error);
/* Attributes and toxicity that the JSON has replace those of *toxic, which toxiproxy_is_toxic. */
int toxiproxy_update_toxic(const json_t *json, struct ruleset_fault *toxic, struct error *error);

/* The proxies of a configuration file, which are appended to the ruleset with the toxics that an
 * item may have in "toxics". Places are "proxy 2" or "proxy 2, toxic 1". On failure the ruleset may
 * have some of them. */
int toxiproxy_decode_config(const char *text, size_t length, struct ruleset *ruleset,
                            struct error *error);

/* Whether the fault, which is on a route, is a toxic in the sense above. */
bool toxiproxy_is_toxic(const struct ruleset_fault *fault);
/* What a client calls the fault: TOXIC when it is one, else its full name. */
const char *toxiproxy_name_of(const struct ruleset_fault *fault);
json_t *toxiproxy_encode_toxic(const struct ruleset_fault *fault);
/* Of that route: upstream before downstream, each in the order in which they act. */
json_t *toxiproxy_encode_toxics(const struct ruleset *ruleset, const char *route);
/* The same for many: appends to the "toxics" of each value of `proxies`, whose keys are routes. */
void toxiproxy_add_toxics(const struct ruleset *ruleset, json_t *proxies);

/* An address to listen on, as the ruleset has it. Without a host it is every address of the machine
 * (address_everywhere); "" is any port of them. normal: RULESET_ADDRESS_MAX bytes. -EINVAL with
 * what is wrong, in the words that clients know. */
int toxiproxy_normalize_listen(const char *text, char *normal, struct error *error);
/* Whether two such addresses are the same once names are resolved. */
bool toxiproxy_same_listen(const char *a, const char *b);

#endif
