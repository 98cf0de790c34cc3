/* scepctl: what its verbs share.  A verb gets its parsed arguments, writes data to standard output through the
 * functions below and everything else to standard error, and returns an exit code. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "enroll/challenge.h"
#include "config/config.h"
#include "store/store.h"

enum ctl_exit { /* the same for every verb; documented in scepctl(1) */
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,         /* or a confirmation was needed and nobody could be asked */
    CTL_NOT_FOUND = 3,     /* or a prefix that is not unique */
    CTL_NOT_PERMITTED = 4,
    CTL_CONFLICT = 5,      /* not in a state for this */
    CTL_UNAVAILABLE = 6,
    CTL_PROBLEMS = 7,      /* a check ran and found some */
    CTL_DAMAGED = 8,       /* the store cannot be read any more: a backup helps */
    CTL_INTERRUPTED = 130, /* by Ctrl-C, between two items of many */
};

enum ctl_color { CTL_COLOR_AUTO, CTL_COLOR_ALWAYS, CTL_COLOR_NEVER };

struct ctl {
    /* global flags */
    const char *config_option;
    bool json, csv, ids;           /* at most one: how data is written when it is not for people */
    bool wide;                     /* nothing hidden or shortened on a terminal */
    const char *columns;           /* "serial,subject", or NULL */
    enum ctl_color color;
    bool yes, dry_run, quiet, verbose, utc, no_input;
    const char *expect;            /* --expect: the number or name that a confirmation would ask for */
    /* surroundings */
    int64_t now;
    char actor[64];                /* the person, for the audit log */
    /* loaded at first need */
    char config_path[512];
    struct config *config;
    struct store *store;
};

/* ---- arguments (ctl_args.c) ---- */

#define CTL_MAX_IDS 64
#define CTL_MAX_FLAGS 24

struct ctl_flag {
    const char *name;      /* long, without "--"; NULL ends a list */
    char letter;           /* 0: none */
    const char *value;     /* what stands for its value in the help; NULL: a switch */
    bool value_optional;
    const char *help;
};

struct ctl_args {
    const char *id[CTL_MAX_IDS];
    size_t id_n;
    const struct ctl_flag *flag[CTL_MAX_FLAGS];
    const char *value[CTL_MAX_FLAGS]; /* "" for a switch */
    size_t flag_n;
};

struct ctl_verb {
    const char *noun, *verb;       /* verb "" for a noun that is a command itself */
    const char *ids;               /* "SERIAL..." in the help; "" for none */
    size_t ids_min, ids_max;
    const char *help;              /* one line */
    const struct ctl_flag *flags;  /* own ones; NULL: none */
    const char *examples[3];
    int (*run)(struct ctl *ctl, const struct ctl_args *args);
};

enum ctl_help { CTL_HELP_NONE, CTL_HELP_SHORT, CTL_HELP_LONG, CTL_HELP_VERSION };

extern const struct ctl_flag ctl_global_flags[];
/* Ends with a row whose noun is NULL; verbs of a noun stand together (scepctl.c). */
extern const struct ctl_verb ctl_verbs[];

/* Reads flags until the end or, with `stop_at_word`, the first word; global ones go to `ctl`.  Returns CTL_DONE, or
 * CTL_USAGE after telling why; *help gets an enum ctl_help. */
int ctl_args_parse(struct ctl *ctl, int argc, char **argv, const struct ctl_verb *verb, bool stop_at_word, int *used,
                   struct ctl_args *out, int *help);
/* NULL when the flag was not given. */
const char *ctl_arg(const struct ctl_args *a, const char *name);
/* A number or a duration of a flag; `fallback` when it was not given. */
int ctl_arg_number(struct ctl *ctl, const struct ctl_args *a, const char *name, int64_t min, int64_t max, int64_t fallback,
                   int64_t *out);
int ctl_arg_duration(struct ctl *ctl, const struct ctl_args *a, const char *name, int64_t fallback, int64_t *out);
/* A moment: "2026-11-28", "2026-11-28T10:12:00Z", or a duration that has passed since ("30d"). */
int ctl_arg_moment(struct ctl *ctl, const struct ctl_args *a, const char *name, int64_t fallback, int64_t *out);
/* Index in a NULL-ended list of words, *out untouched when not given. */
int ctl_arg_word(struct ctl *ctl, const struct ctl_args *a, const char *name, const char *const *words, int *out);

/* Identifiers of many: the arguments, then the lines of --from FILE ("-": standard input).  Of a line only what stands
 * before the first tab counts, so that lists can be piped in. */
struct ctl_ids {
    char **id;             /* owned, like each */
    size_t n, cap;
};
int ctl_ids_gather(struct ctl *ctl, const struct ctl_args *a, struct ctl_ids *out);
void ctl_ids_clear(struct ctl_ids *ids);

void ctl_help_all(void);
void ctl_help_noun(const char *noun);
void ctl_help_verb(const struct ctl_verb *v, bool full);

/* ---- surroundings (ctl_world.c) ---- */

/* Each returns CTL_DONE, or the exit code after having told why. */
int ctl_need_config(struct ctl *ctl);
/* The same where files may be missing that come with an answer or that the verb makes (config_load_waiting). */
int ctl_need_waiting_config(struct ctl *ctl);
/* Opens the store; root becomes its owner before, so that no file in it ever belongs to root. */
int ctl_need_store(struct ctl *ctl);
/* The person who runs this: sudo's user, the login, the account. */
void ctl_actor(char out[64]);
/* CTL_DONE: go on.  CTL_USAGE: nobody could be asked, or no.  For what costs one certificate or request. */
int ctl_confirm(struct ctl *ctl, const char *question);
/* For what costs many, or the authority: the number or the name must be typed, or given as --yes --expect.  Another
 * --expect than that is CTL_CONFLICT, whoever sits there. */
int ctl_confirm_expected(struct ctl *ctl, const char *expected, const char *question);
/* From here on Ctrl-C ends nothing by itself: loops over many ask ctl_interrupted between two items. */
void ctl_interrupts_watch(void);
bool ctl_interrupted(void);
/* One line of an answer typed on the terminal; false when nobody can be asked or nothing was typed. */
bool ctl_ask(const struct ctl *ctl, const char *question, char *out, size_t cap);
void ctl_clear(struct ctl *ctl);

/* ---- output (ctl_output.c) ---- */

/* Tells what failed (and with --json as an object), with the next step or NULL; returns `code`. */
int ctl_fail(const struct ctl *ctl, enum ctl_exit code, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for an error from below; its kind gives the exit code. */
int ctl_fail_err(const struct ctl *ctl, const struct err *err, const char *fix);
/* Notes on standard error; silent with -q. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum ctl_kind { CTL_TEXT, CTL_ID, CTL_TIME, CTL_NUMBER };

struct ctl_column {
    const char *header;    /* of the table; NULL: not shown on a terminal */
    const char *key;       /* in JSON */
    enum ctl_kind kind;    /* long identifiers are cut on a terminal */
    bool shrinks;          /* is shortened in the middle when the terminal is narrow */
};

struct ctl_cell {
    const char *text;      /* CTL_TEXT, CTL_ID; NULL is empty */
    int64_t number;        /* CTL_TIME (0: none), CTL_NUMBER */
};

/* A list: table on a terminal, tab-separated lines when piped, one object per line with --json; --csv, --ids (the first
 * column), --columns and --wide change that (ctl_list.c).  Rows are written as they come; a terminal gets the first ones
 * when enough are known for the widths.  Bounded memory, however many.
 * --columns naming what the list does not have ends the program with CTL_USAGE. */
struct ctl_list;
struct ctl_list *ctl_list_new(const struct ctl *ctl, const struct ctl_column *columns, size_t n);
void ctl_list_row(struct ctl_list *l, const struct ctl_cell *cells);
/* Prints what is left and frees. */
void ctl_list_end(struct ctl_list *l);

/* One thing: lines of "key value", or one object; with --csv a line of names and one of values, with --ids the first
 * value alone. */
struct ctl_show {
    const struct ctl *ctl;
    json_t *object;        /* with --json, --csv and --ids */
};
void ctl_show_start(struct ctl_show *s, const struct ctl *ctl);
void ctl_show_text(struct ctl_show *s, const char *key, const char *value); /* NULL or "" leaves it out */
void ctl_show_time(struct ctl_show *s, const char *key, int64_t t);         /* 0 leaves it out */
void ctl_show_number(struct ctl_show *s, const char *key, int64_t n);
void ctl_show_end(struct ctl_show *s);

/* Any text for a terminal: control, bidirectional and invalid characters become escapes. */
void ctl_clean(const char *text, char *out, size_t cap);
/* The same for a terminal that does not speak UTF-8: nothing but ASCII is left. */
void ctl_clean_for(FILE *out, const char *text, char *clean, size_t cap);
/* Is `names` ("a,b") NULL, or does it hold `name`? */
bool ctl_listed(const char *names, const char *name);
/* Colours words of a state on a terminal: "" or an escape sequence, and what ends it. */
struct ctl_paint { const char *before, *after; };
struct ctl_paint ctl_paint(const struct ctl *ctl, const char *key, const char *word);
/* One field of a line of comma-separated values. */
void ctl_csv_field(const char *text, bool first);
/* "2026-11-28 10:12 (in 6 d)", local or UTC; "-" for 0. */
void ctl_time_text(const struct ctl *ctl, int64_t t, char *out, size_t cap);
/* For columns: the day alone when it is two days away or more. */
void ctl_time_short(const struct ctl *ctl, int64_t t, char *out, size_t cap);
/* Adds a member, whatever bytes the text has. */
void ctl_json_text(json_t *object, const char *key, const char *value);
bool ctl_stdout_is_terminal(void);
size_t ctl_terminal_width(void); /* columns; 80 when nobody knows */
/* One object on a line of its own. */
void ctl_json_line(json_t *object);
/* "clientAuth,ipsecIKE" */
void ctl_eku_text(const struct eku *e, char *out, size_t cap);
/* Key, usages, validity, fingerprints: the lines that any certificate has.  (ctl_cert.c) */
void ctl_show_cert(struct ctl_show *s, const struct cert *c);
/* Anything a file or "-" holds, said in words: certificate, request, CRL, message.  (ctl_file.c) */
int ctl_show_file(struct ctl *ctl, const char *path);
/* Is it a file rather than an identifier?  "-", or a name with a slash or a dot. */
bool ctl_is_file(const char *word);
/* The lines that any CRL has; `der` that cannot be read is told as such. */
void ctl_show_crl(struct ctl_show *s, struct view der);
int ctl_read_input(struct ctl *ctl, const char *path, struct buf *out);
/* Writes one certificate to standard output. */
int ctl_print_cert(struct ctl *ctl, struct view der, bool as_der);

/* ---- verbs ---- */

int ctl_init(struct ctl *ctl, const struct ctl_args *a);
int ctl_status(struct ctl *ctl, const struct ctl_args *a);
int ctl_ca_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_ca_export(struct ctl *ctl, const struct ctl_args *a);
int ctl_ca_rollover(struct ctl *ctl, const struct ctl_args *a);
/* ctl_ca.c, for its neighbours: an authority's place in the configuration, by name or the only one; its generations. */
int ctl_find_authority(struct ctl *ctl, const char *name, size_t *out);
int ctl_one_authority(struct ctl *ctl, const char *name, size_t *out);
int ctl_look_at_authority(struct ctl *ctl, size_t i, struct family **out);
void ctl_next_step(struct ctl *ctl, size_t authority, const struct family *f, struct tend_step *out);
const char *ctl_step_name(const struct tend_step *s);             /* "" for none */
const char *ctl_role_name(const struct authority *a, int64_t now); /* "current", "former", "next", "ended" */
int ctl_ca_import(struct ctl *ctl, const struct ctl_args *a);
extern const struct ctl_flag ctl_ca_tls_flags[]; /* ctl_ca_tls.c */
int ctl_ca_tls(struct ctl *ctl, const struct ctl_args *a);
int ctl_ca_csr(struct ctl *ctl, const struct ctl_args *a);
int ctl_ca_install(struct ctl *ctl, const struct ctl_args *a);
int ctl_challenge_new(struct ctl *ctl, const struct ctl_args *a);
int ctl_challenge_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_challenge_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_challenge_revoke(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_new(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_edit(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_isolate(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_release(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_retire(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_history(struct ctl *ctl, const struct ctl_args *a);
int ctl_device_import(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_members(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_new(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_edit(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_add(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_drop(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_remove(struct ctl *ctl, const struct ctl_args *a);
int ctl_group_history(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_new(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_edit(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_pause(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_resume(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_check(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_assign(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_unassign(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_remove(struct ctl *ctl, const struct ctl_args *a);
int ctl_policy_history(struct ctl *ctl, const struct ctl_args *a);
int ctl_profile_new(struct ctl *ctl, const struct ctl_args *a);
int ctl_request_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_request_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_request_approve(struct ctl *ctl, const struct ctl_args *a);
int ctl_request_deny(struct ctl *ctl, const struct ctl_args *a);
int ctl_request_cancel(struct ctl *ctl, const struct ctl_args *a);
int ctl_cert_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_cert_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_cert_export(struct ctl *ctl, const struct ctl_args *a);
int ctl_cert_revoke(struct ctl *ctl, const struct ctl_args *a);
int ctl_cert_release(struct ctl *ctl, const struct ctl_args *a);
int ctl_config_check(struct ctl *ctl, const struct ctl_args *a);
int ctl_config_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_config_schema(struct ctl *ctl, const struct ctl_args *a);
int ctl_store_stats(struct ctl *ctl, const struct ctl_args *a);
int ctl_store_verify(struct ctl *ctl, const struct ctl_args *a);
int ctl_store_backup(struct ctl *ctl, const struct ctl_args *a);
int ctl_store_restore(struct ctl *ctl, const struct ctl_args *a);
int ctl_store_purge(struct ctl *ctl, const struct ctl_args *a);
/* ctl_admin.c */
extern const struct ctl_flag ctl_admin_new_flags[], ctl_admin_edit_flags[], ctl_admin_token_flags[], ctl_console_flags[];
int ctl_admin_list(struct ctl *ctl, const struct ctl_args *a);
int ctl_admin_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_admin_new(struct ctl *ctl, const struct ctl_args *a);
int ctl_admin_edit(struct ctl *ctl, const struct ctl_args *a);
int ctl_admin_disable(struct ctl *ctl, const struct ctl_args *a);
int ctl_admin_token(struct ctl *ctl, const struct ctl_args *a);
int ctl_console(struct ctl *ctl, const struct ctl_args *a);
/* The first administrator of a new store, named after the person who makes it. */
bool ctl_first_admin(const struct ctl *ctl, struct store *s, struct err *err);
int ctl_audit_list(struct ctl *ctl, const struct ctl_args *a);
extern const struct ctl_flag ctl_explain_flags[];
int ctl_explain(struct ctl *ctl, const struct ctl_args *a);
int ctl_audit_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_audit_verify(struct ctl *ctl, const struct ctl_args *a);
int ctl_audit_export(struct ctl *ctl, const struct ctl_args *a);
int ctl_crl_show(struct ctl *ctl, const struct ctl_args *a);
int ctl_crl_export(struct ctl *ctl, const struct ctl_args *a);
int ctl_crl_publish(struct ctl *ctl, const struct ctl_args *a);
int ctl_crl_import(struct ctl *ctl, const struct ctl_args *a);
int ctl_ocsp_import(struct ctl *ctl, const struct ctl_args *a);
int ctl_completion(struct ctl *ctl, const struct ctl_args *a);
/* ctl_client.c */
extern const struct ctl_flag ctl_client_server_flags[], ctl_client_enrol_flags[], ctl_client_renew_flags[],
    ctl_client_poll_flags[];
int ctl_client_caps(struct ctl *ctl, const struct ctl_args *a);
int ctl_client_getca(struct ctl *ctl, const struct ctl_args *a);
int ctl_client_nextca(struct ctl *ctl, const struct ctl_args *a);
int ctl_client_enrol(struct ctl *ctl, const struct ctl_args *a);
int ctl_client_renew(struct ctl *ctl, const struct ctl_args *a);
int ctl_client_poll(struct ctl *ctl, const struct ctl_args *a);
/* probe_report.c */
extern const struct ctl_flag ctl_probe_flags[];
int ctl_probe(struct ctl *ctl, const struct ctl_args *a);
