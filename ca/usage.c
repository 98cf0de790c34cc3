#include "usage.h"

#include "tbs.h"

uint32_t usage_of_key(const struct pubkey *key, uint32_t bits)
{
    if (key->type == KEY_RSA)
        return bits & ~(uint32_t)KU_KEY_AGREEMENT;
    return bits & ~(uint32_t)(KU_KEY_ENCIPHERMENT | KU_DATA_ENCIPHERMENT);
}

bool usage_serves(uint32_t key_usage, const char *oid)
{
    static const struct {
        const char *oid;
        uint32_t any_of;
    } table[] = {
        {EKU_SERVER_AUTH, KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT},
        {EKU_CLIENT_AUTH, KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT},
        {EKU_CODE_SIGNING, KU_DIGITAL_SIGNATURE},
        {EKU_EMAIL,
         KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT},
        {EKU_TIME_STAMPING, KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION},
        {EKU_OCSP_SIGNING, KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(oid, table[i].oid) == 0)
            return (key_usage & table[i].any_of) != 0;
    return true;
}
