#include "chaos/workload/driver.h"

const struct driver *driver_of(enum experiment_system system)
{
    static const struct driver *const drivers[] = {
        [EXPERIMENT_RAFTKV] = &driver_raftkv,
        [EXPERIMENT_ETCD] = &driver_etcd,
        [EXPERIMENT_REDIS] = &driver_redis,
        [EXPERIMENT_POSTGRES] = &driver_postgres,
    };
    return drivers[system];
}

void driver_tell_ready(const char *waiting, struct text *out)
{
    text_append(out, "ready:%d\r\n", !*waiting);
    if (*waiting)
        text_append(out, "waiting:%s\r\n", waiting);
}

void driver_set_reason(struct history_operation *operation, const char *text, size_t length)
{
    size_t room = sizeof(operation->reason) - 1;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        length--;
    length = length < room ? length : room;
    for (size_t i = 0; i < length; i++)
        operation->reason[i] = text[i] >= ' ' && text[i] < 127 ? text[i] : '?';
    operation->reason[length] = '\0';
}
