#include "enroll/token.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#define ID_CHARACTERS 6
#define TOKEN_LONGEST 64

bool token_random(char *out, size_t n, bool lower, struct err *err)
{
    uint8_t random[TOKEN_LONGEST];
    if (n > sizeof random)
        n = sizeof random;
    if (RAND_bytes(random, (int)n) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_CRYPTO, "no random octets to be had");
    }
    /* 256 is a multiple of 32: every character is equally likely */
    for (size_t i = 0; i < n; i++) {
        char c = alphabet[random[i] & 31];
        out[i] = lower ? (char)tolower((unsigned char)c) : c;
    }
    out[n] = '\0';
    OPENSSL_cleanse(random, sizeof random);
    return true;
}

bool token_id(const char *prefix, char out[TOKEN_ID_MAX], struct err *err)
{
    char random[ID_CHARACTERS + 1];
    if (!token_random(random, ID_CHARACTERS, true, err))
        return false;
    snprintf(out, TOKEN_ID_MAX, "%s%s", prefix, random);
    return true;
}

char token_meant(char c)
{
    c = (char)toupper((unsigned char)c);
    if (c == 'O')
        return '0';
    if (c == 'I' || c == 'L')
        return '1';
    return c && strchr(alphabet, c) ? c : '\0';
}
