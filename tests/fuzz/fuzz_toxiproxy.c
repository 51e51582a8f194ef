/* Any bytes as each of the bodies that clients of Toxiproxy send, and as a configuration file:
 * refused with a reason, or decoded; and what is decoded can be told again, is understood again,
 * and is the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/toxiproxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_refusal(int code, const struct error *error)
{
    require(code < 0 && error->code < 0 && error->message[0]);
}

static void try_listen(const char *listen)
{
    struct error error = {0};
    char normal[RULESET_ADDRESS_MAX], again[RULESET_ADDRESS_MAX];
    int code = toxiproxy_normalize_listen(listen, normal, &error);
    if (code < 0) {
        check_refusal(code, &error);
        return;
    }
    require(toxiproxy_same_listen(normal, normal));
    require(toxiproxy_normalize_listen(normal, again, &error) == 0);
    require(strcmp(normal, again) == 0);
}

static void try_proxies(const json_t *json)
{
    struct toxiproxy_proxy proxy = {.enabled = true}, *proxies = NULL;
    struct error error = {0};
    size_t count = 0;
    int code = toxiproxy_decode_proxy(json, &proxy, &error);
    if (code < 0)
        check_refusal(code, &error);
    else
        try_listen(proxy.listen);
    error = (struct error){0};
    code = toxiproxy_decode_proxies(json, &proxies, &count, &error);
    if (code < 0)
        check_refusal(code, &error);
    free(proxies);
}

/* What is shown of a toxic makes the same one, toxicity apart, which is shown as 32 bits. */
static void check_round_trip(const struct ruleset_fault *toxic)
{
    struct ruleset_fault again;
    struct error error = {0};
    require(toxiproxy_is_toxic(toxic));
    json_t *shown = toxiproxy_encode_toxic(toxic);
    char *text = json_dumps(shown, TOXIPROXY_DUMP_FLAGS);
    require(text != NULL);
    json_t *read = toxiproxy_parse(text, strlen(text), &error);
    require(read && toxiproxy_decode_toxic(read, toxic->route, &again, &error) == 0);
    require(strcmp(again.name, toxic->name) == 0);
    again.spared_ppb = toxic->spared_ppb;
    require(ruleset_same_fault(&again, toxic));
    free(text);
    json_decref(read);
    json_decref(shown);
}

static void try_toxic(const json_t *json)
{
    struct ruleset_fault toxic, changed;
    struct error error = {0};
    int code = toxiproxy_decode_toxic(json, "proxy", &toxic, &error);
    if (code < 0) {
        check_refusal(code, &error);
        return;
    }
    check_round_trip(&toxic);
    changed = toxic;
    require(toxiproxy_update_toxic(json, &changed, &error) == 0);
    require(ruleset_same_fault(&changed, &toxic));
}

static void try_config(const char *text, size_t size)
{
    struct ruleset ruleset = {0};
    struct error error = {0};
    int code = toxiproxy_decode_config(text, size, &ruleset, &error);
    if (code < 0)
        check_refusal(code, &error);
    else if (ruleset_check(&ruleset, &error) == 0)
        for (size_t i = 0; i < ruleset.fault_count; i++)
            check_round_trip(&ruleset.faults[i]);
    ruleset_free(&ruleset);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error error = {0};
    const char *text = (const char *)bytes;
    json_t *json = toxiproxy_parse(text, size, &error);
    if (json) {
        try_proxies(json);
        try_toxic(json);
    } else {
        check_refusal(error.code, &error);
    }
    json_decref(json);
    try_config(text, size);
    return 0;
}
