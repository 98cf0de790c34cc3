/* What a client reads: a CertRep, and the answers to GetCACert, GetCACaps and GetNextCACert; and
 * how the probe describes them. */
#include <string.h>

#include "fuzz.h"
#include "pkcs7/inspect.h"
#include "client/client.h"

static int any_key(void *ctx, const struct scep_recipient *who)
{
    return 0;
}

static bool any_content_key(void *ctx, int key, struct key_wrap wrap, struct view encrypted,
                            uint8_t *content_key, size_t key_len, struct err *err)
{
    memset(content_key, 0x42, key_len);
    return true;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

static void as_client(struct view in)
{
    struct client_caps caps;
    struct client_ca ca = {0};
    struct err err = {0};
    client_caps_from_answer(in, &caps);
    if (client_ca_from_answer(in, "application/x-x509-ca-cert", &ca, &err))
        client_ca_clear(&ca);
    if (client_ca_from_answer(in, "application/x-x509-ca-ra-cert", &ca, &err))
        client_ca_clear(&ca);
}

static void inspect(struct view in)
{
    struct inspected_signed i = {0};
    struct inspected_envelope e;
    struct err err = {0};
    if (inspect_signed(in, NULL, 0, &i, &err))
        inspect_envelope(buf_view(&i.content), &e, &err);
    inspected_signed_clear(&i);
    inspect_envelope(in, &e, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scep_keys keys = {
        .find = any_key, .decrypt = any_content_key, .password = view_str("7QK4-M2XH-9RTD-VN3A")};
    struct scep_message *m = NULL;
    struct scep_certs certs = {0};
    struct err err = {0};
    if (scep_certs_parse(view_of(data, size), &certs, &err))
        scep_certs_clear(&certs);
    scep_parse(view_of(data, size), ~0u, &m, &err);
    if (m && m->is_reply && certrep_open(m, &keys, &certs, &err))
        scep_certs_clear(&certs);
    scep_message_free(m);
    inspect(view_of(data, size));
    as_client(view_of(data, size));
    return 0;
}
