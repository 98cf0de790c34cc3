#include "base/reason.h"

#include <stddef.h>
#include <string.h>

static const struct reason_info infos[REASON_COUNT] = {
    [REASON_NONE] = {"", FAIL_BAD_REQUEST, 0, false, ""},
#define REASON_ROW(name, code, fail, hresult, detail_public, text)                                 \
    [REASON_##name] = {code, fail, hresult, detail_public, text},
    REASON_LIST(REASON_ROW)
#undef REASON_ROW
};

/* RFC 8894 section 3.2.1.4 */
const struct reason_info *reason_info(enum reason reason)
{
    return &infos[(unsigned)reason < REASON_COUNT ? reason : REASON_NONE];
}

enum reason reason_by_code(const char *code)
{
    for (int i = 1; i < REASON_COUNT; i++)
        if (strcmp(infos[i].code, code) == 0)
            return (enum reason)i;
    return REASON_NONE;
}
