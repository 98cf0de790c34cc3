/* What reasons of revocation are called (RFC 5280 section 5.3.1): the one table. */
#include <strings.h>

#include "store/store.h"

/* Those that an administrator may give, in the order in which they are offered. */
#define GIVEN(X)                                                            \
    X(CRL_UNSPECIFIED, "unspecified", "unspecified")                        \
    X(CRL_KEY_COMPROMISE, "key-compromise", "keyCompromise")                \
    X(CRL_AFFILIATION_CHANGED, "affiliation-changed", "affiliationChanged") \
    X(CRL_SUPERSEDED, "superseded", "superseded")                           \
    X(CRL_CESSATION, "cessation", "cessationOfOperation")                   \
    X(CRL_HOLD, "hold", "certificateHold")                                  \
    X(CRL_PRIVILEGE_WITHDRAWN, "privilege-withdrawn", "privilegeWithdrawn")

/* With that of a certificate that was revoked elsewhere. */
#define TOLD(X) GIVEN(X) X(CRL_CA_COMPROMISE, "ca-compromise", "cACompromise")

static const struct {
    enum crl_reason reason;
    const char *word, *standard;
} names[] = {
#define NAMES(reason, word, standard) {reason, word, standard},
    TOLD(NAMES){CRL_REMOVE_FROM_CRL, "other", "removeFromCRL"},
};

#define WORD(reason, word, standard) word,
const char *const crl_reasons_given[] = {GIVEN(WORD) NULL};
const char *const crl_reasons_told[] = {TOLD(WORD) "other", NULL};

#define NAMES_N (sizeof names / sizeof *names)

enum crl_reason crl_reason_given(int at)
{
    return names[at].reason;
}

static size_t find(enum crl_reason reason)
{
    size_t i = 0;
    while (i < NAMES_N && names[i].reason != reason)
        i++;
    return i;
}

const char *crl_reason_text(enum crl_reason reason)
{
    size_t i = find(reason);
    return i < NAMES_N ? names[i].word : "other";
}

const char *crl_reason_standard(enum crl_reason reason)
{
    size_t i = find(reason);
    return names[i < NAMES_N ? i : 0].standard;
}

bool crl_reason_by_standard(const char *name, enum crl_reason *out)
{
    for (size_t i = 0; i < NAMES_N; i++)
        if (strcasecmp(names[i].standard, name) == 0) {
            *out = names[i].reason;
            return true;
        }
    return false;
}
