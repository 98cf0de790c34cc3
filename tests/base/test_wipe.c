/* Nothing of a JSON document is left where it was. */
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"
#include "check_main.h"

static const char secret[] = "scepd_aaaaaaaa_0123456789abcdefghijklmnopqrstuv";
static unsigned freed, found;

void __real_free(void *p);
void __wrap_free(void *p);

/* What is about to be given back; also by whom nothing was wiped. */
void __wrap_free(void *p)
{
    if (p) {
        freed++;
        found += memmem(p, malloc_usable_size(p), secret, sizeof secret - 1) != NULL;
    }
    __real_free(p);
}

static void free_plainly(void *p)
{
    free(p);
}

static int into(const char *p, size_t n, void *text)
{
    strncat(text, p, n);
    return 0;
}

/* Read, copied, changed and written. */
static void use_a_document(void)
{
    char text[256], out[256] = "";
    snprintf(text, sizeof text, "{\"token\":\"%s\",\"other\":[\"%s\"]}", secret, secret);
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *copy = json_deep_copy(o);
    ck_assert_ptr_nonnull(copy);
    json_object_set_new(o, "secret", json_sprintf("%s", secret));
    json_object_set_new(o, secret, json_null());
    json_dump_callback(o, into, out, JSON_COMPACT);
    ck_assert_ptr_nonnull(strstr(out, secret));
    json_decref(copy);
    json_decref(o);
}

START_TEST(nothing_is_left)
{
    freed = found = 0;
    json_set_alloc_funcs(malloc, wipe_free);
    use_a_document();
    ck_assert_uint_gt(freed, 10);
    ck_assert_uint_eq(found, 0);
    wipe_free(NULL);
}
END_TEST

/* That the test would see it. */
START_TEST(without_it_there_is)
{
    freed = found = 0;
    json_set_alloc_funcs(malloc, free_plainly);
    use_a_document();
    ck_assert_uint_gt(found, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/wipe");
    TCase *c = tcase_create("wipe");
    tcase_add_test(c, nothing_is_left);
    tcase_add_test(c, without_it_there_is);
    suite_add_tcase(s, c);
    return check_main(s);
}
