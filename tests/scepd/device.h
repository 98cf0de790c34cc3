/* One device that talks to one endpoint of a whole authority with store and signer in this process: for the tests of the
 * request path from bytes to bytes. */
#pragma once

#include <check.h>
#include <stdint.h>

#include "service_fixture.h"

#define must(call)                             \
    do {                                       \
        struct err err = {0};                  \
        ck_assert_msg((call), "%s", err.text); \
    } while (0)

/* What all tests of a program share, between pki_setup and pki_teardown. */
extern struct service_fixture pki;
extern int64_t pki_now; /* Unix seconds, by which requests are answered */
void pki_setup(void);
void pki_teardown(void);

/* One device with its key, talking to one endpoint. */
struct device {
    const struct scep_endpoint *endpoint;
    struct client_ca ca;
    struct client_identity identity;
    char transaction[64];
    enum scep_type type;
    enum digest digest;
    enum cipher cipher;
    enum key_padding padding;
    struct buf content; /* PKCS#10, or what a poll says */
    struct buf message; /* the last one sent */
    uint8_t nonce[16];
};

void device_request(struct device *d, const char *subject, const char *challenge);
/* Takes the key. */
struct device device_new_with_key(const char *path, const char *subject, const char *challenge, EVP_PKEY *key);
struct device device_new(const char *path, const char *subject, const char *challenge);
void device_free(struct device *d);
/* Sends what the device wants; the reply opened as the client would. */
struct scep_answer device_ask(struct device *d, struct client_result *result);
/* The same device's message, with other attributes than our client sends. */
struct odd {
    struct view nonce;
    const char *signing_time; /* GeneralizedTime; NULL: none */
    unsigned others;          /* recipients besides the right one */
};
struct scep_answer device_ask_oddly(struct device *d, const struct odd *odd);
/* The issued certificate's serial as hex, owned; fails the test when there is none. */
char *expect_issued(struct device *d, enum enroll_verdict verdict);
void expect_refused(struct device *d, enum reason reason);
void expect_pending(struct device *d);
void one_time(char secret[CHALLENGE_TEXT_MAX]);
/* The id of one that waits for approval. */
void waiting_request(char id[32]);
