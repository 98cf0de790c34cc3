#include "ca/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Landlock has no wrappers in this libc, and its header may be older than the kernel: what later
 * versions have is written down here, and asked for where the kernel says it knows. */
#define ABI_REFER 2
#define ABI_TRUNCATE 3
#define ABI_NETWORK 4
#define ABI_IOCTL_DEV 5
#define ABI_SCOPED 6

#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_BIND_TCP (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPED_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)

struct ruleset { /* struct landlock_ruleset_attr of version 6 */
    uint64_t fs, net, scoped;
};

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                  \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                              \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | FS_REFER | FS_TRUNCATE)
/* Of a file that is no directory only these can be allowed. */
#define FS_OF_FILE                                                                               \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
     FS_TRUNCATE | FS_IOCTL_DEV)
#define FS_VERSION_1 (LANDLOCK_ACCESS_FS_MAKE_SYM | (LANDLOCK_ACCESS_FS_MAKE_SYM - 1))

bool confine_add(struct confine_paths *p, enum confine_access access, const char *path,
                 struct err *err)
{
    if (p->n == CONFINE_MAX_PATHS)
        return err_set(err, ERR_CONFIG, "more than %d paths to keep open", CONFINE_MAX_PATHS);
    struct confine_path *at = &p->at[p->n];
    int n = snprintf(at->path, sizeof at->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof at->path)
        return err_set(err, ERR_CONFIG, "too long a path: %.64s...", path);
    at->access = access;
    p->n++;
    return true;
}

/* ---- Landlock ---- */

static int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static struct ruleset handled_by(int abi, size_t *size)
{
    struct ruleset r = {.fs = FS_VERSION_1};
    *size = sizeof r.fs;
    if (abi >= ABI_REFER)
        r.fs |= FS_REFER;
    if (abi >= ABI_TRUNCATE)
        r.fs |= FS_TRUNCATE;
    if (abi >= ABI_NETWORK) {
        r.net = NET_BIND_TCP | NET_CONNECT_TCP;
        *size = offsetof(struct ruleset, scoped);
    }
    if (abi >= ABI_IOCTL_DEV)
        r.fs |= FS_IOCTL_DEV;
    if (abi >= ABI_SCOPED) {
        r.scoped = SCOPED_ABSTRACT_UNIX_SOCKET;
        *size = sizeof r;
    }
    return r;
}

/* What is not there, or not for this user, is not kept open. */
static bool allow(int rules, const struct confine_path *p, uint64_t handled, struct err *err)
{
    struct stat st;
    int fd = open(p->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR ||
               err_errno(err, "cannot keep %s open", p->path);
    struct landlock_path_beneath_attr beneath = {
        .allowed_access = handled & (FS_READ | (p->access == CONFINE_WRITE ? FS_WRITE : 0)),
        .parent_fd = fd};
    bool ok = fstat(fd, &st) == 0;
    if (ok && !S_ISDIR(st.st_mode))
        beneath.allowed_access &= FS_OF_FILE;
    ok = ok && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
    if (!ok)
        err_errno(err, "cannot keep %s open", p->path);
    close(fd);
    return ok;
}

bool confine_files(const struct confine_paths *paths, unsigned *lacks, struct err *err)
{
    int abi = landlock_abi();
    size_t size;
    struct ruleset handled = handled_by(abi, &size);
    if (paths->any_socket)
        handled.scoped = 0;
    if (paths->connects)
        handled.net &= ~NET_CONNECT_TCP;
    if (abi == 0) {
        *lacks |= CONFINE_LACKS_FILES;
        return true;
    }
    int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
    if (rules < 0)
        return err_errno(err, "cannot make a Landlock ruleset");
    bool ok = true;
    for (size_t i = 0; ok && i < paths->n; i++)
        ok = allow(rules, &paths->at[i], handled.fs, err);
    if (ok && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
               syscall(SYS_landlock_restrict_self, rules, 0) != 0))
        ok = err_errno(err, "cannot keep the process from files");
    close(rules);
    return ok;
}

/* ---- what is lacking ---- */

const char *confine_lacks_text(unsigned lacks, char out[CONFINE_LACKS_TEXT])
{
    bool calls = lacks & CONFINE_LACKS_CALLS, files = lacks & CONFINE_LACKS_FILES;
    snprintf(out, CONFINE_LACKS_TEXT, "%s%s%s", calls ? "seccomp" : "", calls && files ? ", " : "",
             files ? "Landlock (Linux 5.13)" : "");
    return out;
}

bool confine_settle(enum confine_mode mode, unsigned lacks, const char *who, const struct log *log,
                    struct err *err)
{
    char text[CONFINE_LACKS_TEXT];
    struct log_line l;
    if (!lacks)
        return true;
    confine_lacks_text(lacks, text);
    if (mode == CONFINE_REQUIRED)
        return err_set(err, ERR_CONFIG,
                       "confinement = \"required\", but this kernel lacks %s for %s", text, who);
    log_begin(&l, log, LOG_LEVEL_WARNING, "confinement.incomplete");
    log_str(&l, "lacks", text);
    log_end(&l, "%s is not confined as it should be: this kernel lacks %s", who, text);
    return true;
}
