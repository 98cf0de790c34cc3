/* Key usages and purposes by their names. */
#include "pkcs7/ext.h"

#include <stdio.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/objects.h>

/* RFC 5280 section 4.2.1.3, by bit. */
static const char *const usages[] = {
    "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
    "keyCertSign",      "cRLSign",        "encipherOnly",    "decipherOnly",
};

static const struct {
    const char *name, *oid;
} purposes[] = {
    {"serverAuth", "1.3.6.1.5.5.7.3.1"},          {"clientAuth", "1.3.6.1.5.5.7.3.2"},
    {"codeSigning", "1.3.6.1.5.5.7.3.3"},         {"emailProtection", "1.3.6.1.5.5.7.3.4"},
    {"timeStamping", "1.3.6.1.5.5.7.3.8"},        {"OCSPSigning", "1.3.6.1.5.5.7.3.9"},
    {"eapOverLAN", "1.3.6.1.5.5.7.3.14"},         {"ipsecIKE", "1.3.6.1.5.5.7.3.17"},
    {"ikeIntermediate", "1.3.6.1.5.5.8.2.2"},     {"pkinitClientAuth", "1.3.6.1.5.2.3.4"},
    {"smartcardLogon", "1.3.6.1.4.1.311.20.2.2"}, {"certRequestAgent", "1.3.6.1.4.1.311.20.2.1"},
    {"anyExtendedKeyUsage", "2.5.29.37.0"},
};

void key_usage_text(uint32_t bits, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof usages / sizeof *usages && used < cap; i++)
        if (bits & (1u << i))
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? "," : "", usages[i]);
}

/* Dotted, and the same when it is written again: "1.2." and "1.02" are read, but are no OIDs. */
static bool is_oid(const char *name)
{
    char again[OID_TEXT_MAX] = "";
    ASN1_OBJECT *oid = OBJ_txt2obj(name, 1);
    int n = oid ? OBJ_obj2txt(again, sizeof again, oid, 1) : 0;
    ASN1_OBJECT_free(oid);
    ERR_clear_error();
    return n > 0 && n < OID_TEXT_MAX && strcmp(name, again) == 0;
}

bool eku_by_name(const char *name, char oid[OID_TEXT_MAX])
{
    for (size_t i = 0; i < sizeof purposes / sizeof *purposes; i++)
        if (strcasecmp(name, purposes[i].name) == 0)
            name = purposes[i].oid;
    if (!is_oid(name))
        return false;
    strcpy(oid, name);
    return true;
}

const char *eku_name(const char *oid)
{
    for (size_t i = 0; i < sizeof purposes / sizeof *purposes; i++)
        if (strcmp(oid, purposes[i].oid) == 0)
            return purposes[i].name;
    return oid;
}

bool eku_add(struct eku *e, const char *oid)
{
    if (eku_has(e, oid))
        return true;
    if (e->n == EKU_MAX || strlen(oid) >= OID_TEXT_MAX)
        return false;
    strcpy(e->oid[e->n++], oid);
    return true;
}

bool eku_has(const struct eku *e, const char *oid)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->oid[i], oid) == 0)
            return true;
    return false;
}
