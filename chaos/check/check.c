#include "chaos/check/check.h"

#include <assert.h>
#include <string.h>

const char *check_verdict_name(enum check_verdict verdict)
{
    static const char *const names[] = {"pass", "fail", "unknown"};
    return names[verdict];
}

enum check_verdict check_worse(enum check_verdict a, enum check_verdict b)
{
    if (a == CHECK_FAIL || b == CHECK_FAIL)
        return CHECK_FAIL;
    return a == CHECK_UNKNOWN || b == CHECK_UNKNOWN ? CHECK_UNKNOWN : CHECK_PASS;
}
