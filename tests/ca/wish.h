/* What a device asks for, as a struct csr without the detour over bytes. */
#pragma once

#include "ca/template.h"

struct wish {
    const char *subject; /* "CN=a,O=b", not checked against bounds; NULL: empty */
    const char *san[4];  /* "DNS:a" */
    uint32_t key_usage;  /* 0: not asked */
    const char *purpose[4];
    const char *key; /* "rsa1024", "rsa2048", "p256", "p384", "weak"; NULL: "rsa2048" */
    struct view extensions; /* raw SEQUENCE OF Extension besides, for what templates pass on */
};

/* Keys are made once in a process. */
void wish_keys_make(void);
void wish_keys_free(void);
EVP_PKEY *wish_key(const char *kind); /* borrowed; not for "weak" */
/* Fails the test when the values themselves are refused. */
void wish_csr(const struct wish *w, struct csr *out);
void wish_csr_clear(struct csr *csr);
