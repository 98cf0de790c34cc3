#include "wish.h"

#include <check.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "pkcs7/der.h"

static struct {
    const char *kind;
    EVP_PKEY *pkey;
    struct buf spki;
} keys[] = {
    {.kind = "rsa1024"}, {.kind = "rsa2048"}, {.kind = "p256"}, {.kind = "p384"}, {.kind = "weak"}};
#define KEYS_N (sizeof keys / sizeof keys[0])

/* A modulus with the factor 3: nothing but keycheck will notice. */
static void weak_spki(struct buf *out)
{
    uint8_t modulus[256], three = 3;
    struct err err;
    struct der w;
    unsigned sum = 0;

    memset(modulus, 0xc5, sizeof modulus);
    for (size_t i = 0; i < sizeof modulus; i++)
        sum += modulus[i];
    modulus[128] = (uint8_t)(modulus[128] + (three - sum % three) % three);
    struct pubkey key = {.type = KEY_RSA,
                         .bits = 2048,
                         .n = view_of(modulus, sizeof modulus),
                         .e = view_of("\x01\x00\x01", 3)};
    der_init(&w, 512);
    pubkey_build(&key, &w);
    ck_assert(der_take(&w, out, &err));
}

void wish_keys_make(void)
{
    for (size_t i = 0; i < KEYS_N; i++) {
        const char *kind = keys[i].kind;
        uint8_t *der = NULL;

        if (strcmp(kind, "weak") == 0) {
            weak_spki(&keys[i].spki);
            continue;
        }
        keys[i].pkey = strcmp(kind, "p256") == 0 ? EVP_EC_gen("P-256")
                       : strcmp(kind, "p384") == 0
                           ? EVP_EC_gen("P-384")
                           : EVP_RSA_gen(strcmp(kind, "rsa1024") == 0 ? 1024 : 2048);
        int n = i2d_PUBKEY(keys[i].pkey, &der);
        ck_assert(n > 0 && buf_append(&keys[i].spki, der, (size_t)n));
        OPENSSL_free(der);
    }
}

void wish_keys_free(void)
{
    for (size_t i = 0; i < KEYS_N; i++) {
        EVP_PKEY_free(keys[i].pkey);
        keys[i].pkey = NULL;
        buf_clear(&keys[i].spki);
    }
}

static size_t key_index(const char *kind)
{
    for (size_t i = 0; i < KEYS_N; i++)
        if (strcmp(keys[i].kind, kind ? kind : "rsa2048") == 0)
            return i;
    ck_abort_msg("no key %s", kind);
}

EVP_PKEY *wish_key(const char *kind)
{
    return keys[key_index(kind)].pkey;
}

void wish_csr(const struct wish *w, struct csr *out)
{
    struct err err = {0};
    struct view spki = buf_view(&keys[key_index(w->key)].spki);

    *out = (struct csr){.has_challenge = false};
    ck_assert_msg(pubkey_parse(spki, &out->key, &err), "%s", err.text);
    if (w->extensions.n > 0)
        ck_assert_msg(extensions_parse(w->extensions, REASON_CSR_MALFORMED, &out->ext, &err), "%s",
                      err.text);
    out->ext.der = w->extensions;
    if (w->subject)
        ck_assert_msg(name_from_text(w->subject, &out->subject, &err), "%s", err.text);
    for (size_t i = 0; i < 4 && w->san[i]; i++)
        ck_assert_msg(san_add_text(&out->ext.san, w->san[i], &err), "%s", err.text);
    out->ext.has_san = out->ext.san.n > 0;
    if (w->key_usage) {
        out->ext.has_key_usage = true;
        out->ext.key_usage = w->key_usage;
    }
    for (size_t i = 0; i < 4 && w->purpose[i]; i++) {
        char oid[OID_TEXT_MAX];
        ck_assert(eku_by_name(w->purpose[i], oid) && eku_add(&out->ext.eku, oid));
        out->ext.has_eku = true;
    }
}

void wish_csr_clear(struct csr *csr)
{
    name_clear(&csr->subject);
    extensions_clear(&csr->ext);
}
