/* The system calls that each kind of process keeps.  A call that neither list of a role names does
 * not exist for it (ENOSYS), so that libraries which try a newer call fall back to an older one.
 * What only an intruder asks for ends the process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ca/confine.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define CALL(name) SCMP_SYS(name)
#define SOCKET_TYPE 0xf /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
#define END (-1000000)  /* no number of libseccomp's, which has negative ones too */

/* ---- the lists ---- */

/* Memory, threads, time: what libc, libcrypto and the sanitizers' runtimes do in any process. */
static const int basic_calls[] = {CALL(brk),
                                  CALL(munmap),
                                  CALL(mremap),
                                  CALL(madvise),
                                  CALL(futex),
                                  CALL(clock_gettime),
                                  CALL(clock_getres),
                                  CALL(clock_nanosleep),
                                  CALL(nanosleep),
                                  CALL(gettimeofday),
                                  CALL(time),
                                  CALL(getrandom),
                                  CALL(rt_sigprocmask),
                                  CALL(rt_sigreturn),
                                  CALL(rt_sigaction),
                                  CALL(sigaltstack),
                                  CALL(sched_yield),
                                  CALL(exit),
                                  CALL(exit_group),
                                  CALL(restart_syscall),
                                  CALL(set_robust_list),
                                  CALL(rseq),
                                  CALL(gettid),
                                  CALL(getpid),
                                  CALL(close),
                                  CALL(poll),
                                  CALL(ppoll),
                                  CALL(recvmsg),
                                  CALL(sendmsg),
                                  CALL(fstat),
                                  CALL(fstatfs),
                                  END};

/* What libraries try and do without: refused, not punished. */
static const int signer_tries[] = {CALL(open),
                                   CALL(openat),
                                   CALL(access),
                                   CALL(faccessat),
                                   CALL(faccessat2),
                                   CALL(readlink),
                                   CALL(readlinkat),
                                   CALL(stat),
                                   CALL(lstat),
                                   CALL(ioctl),
                                   CALL(sysinfo),
                                   CALL(uname),
                                   CALL(sched_getaffinity),
                                   CALL(prlimit64),
                                   CALL(getrlimit),
                                   CALL(prctl),
                                   CALL(getcwd),
                                   CALL(getuid),
                                   CALL(geteuid),
                                   CALL(getgid),
                                   CALL(getegid),
                                   CALL(getppid),
                                   CALL(membarrier),
                                   CALL(sched_getparam),
                                   CALL(sched_getscheduler),
                                   CALL(mlock),
                                   CALL(mlock2),
                                   CALL(munlock),
                                   END};

static const int front_calls[] = {
    /* connections */
    CALL(shutdown), CALL(recvfrom), CALL(sendto), CALL(recvmmsg), CALL(sendmmsg), CALL(getsockname),
    CALL(getpeername), CALL(getsockopt), CALL(setsockopt), CALL(socketpair), CALL(read),
    CALL(readv), CALL(write), CALL(writev), CALL(sendfile), CALL(epoll_create), CALL(epoll_create1),
    CALL(epoll_ctl), CALL(epoll_wait), CALL(epoll_pwait), CALL(epoll_pwait2), CALL(eventfd),
    CALL(eventfd2), CALL(pipe), CALL(pipe2), CALL(select), CALL(pselect6), CALL(timerfd_create),
    CALL(timerfd_settime), CALL(signalfd4), CALL(dup), CALL(dup2), CALL(dup3), CALL(fcntl),
    CALL(close_range),
    /* files; which ones is Landlock's affair */
    CALL(open), CALL(openat), CALL(stat), CALL(lstat), CALL(newfstatat), CALL(statx), CALL(statfs),
    CALL(access), CALL(faccessat), CALL(faccessat2), CALL(readlink), CALL(readlinkat), CALL(lseek),
    CALL(pread64), CALL(preadv), CALL(preadv2), CALL(pwrite64), CALL(pwritev), CALL(pwritev2),
    CALL(ftruncate), CALL(fallocate), CALL(fsync), CALL(fdatasync), CALL(sync_file_range),
    CALL(flock), CALL(getdents64), CALL(getcwd), CALL(chdir), CALL(unlink), CALL(unlinkat),
    CALL(rename), CALL(renameat), CALL(renameat2), CALL(mkdir), CALL(mkdirat), CALL(fchmod),
    CALL(fchown), CALL(umask), CALL(memfd_create), CALL(msync), CALL(mlock), CALL(mlock2),
    CALL(munlock), CALL(mincore), CALL(fadvise64), CALL(readahead),
    /* about itself */
    CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid), CALL(getppid), CALL(getpgrp),
    CALL(getgroups), CALL(getrlimit), CALL(setrlimit), CALL(getrusage), CALL(times), CALL(sysinfo),
    CALL(uname), CALL(sched_getaffinity), CALL(sched_getparam), CALL(sched_getscheduler),
    CALL(getcpu), CALL(membarrier), CALL(get_robust_list), CALL(capget), CALL(waitid), CALL(wait4),
    CALL(pidfd_open), CALL(rt_sigtimedwait), CALL(rt_sigpending), CALL(rt_sigsuspend),
    CALL(setitimer), CALL(alarm), CALL(pause), CALL(set_tid_address), CALL(arch_prctl),
    CALL(clock_adjtime), END};

/* Of sockets that others connect to. */
static const int serving_calls[] = {CALL(accept), CALL(accept4), CALL(listen), END};

/* Not what types into the terminal that scepd may have been started from. */
static const unsigned long front_ioctls[] = {FIONBIO, FIONREAD, FIOCLEX, TCGETS};

/* Nothing here ever has an honest reason to be called once a process is confined. */
static const int deadly_calls[] = {CALL(execve),
                                   CALL(execveat),
                                   CALL(process_vm_readv),
                                   CALL(process_vm_writev),
                                   CALL(process_madvise),
                                   CALL(pidfd_getfd),
                                   CALL(kcmp),
                                   CALL(bpf),
                                   CALL(perf_event_open),
                                   CALL(userfaultfd),
                                   CALL(io_uring_setup),
                                   CALL(io_uring_enter),
                                   CALL(io_uring_register),
                                   CALL(keyctl),
                                   CALL(add_key),
                                   CALL(request_key),
                                   CALL(mount),
                                   CALL(umount2),
                                   CALL(pivot_root),
                                   CALL(chroot),
                                   CALL(unshare),
                                   CALL(setns),
                                   CALL(move_mount),
                                   CALL(open_tree),
                                   CALL(fsopen),
                                   CALL(fsmount),
                                   CALL(fsconfig),
                                   CALL(init_module),
                                   CALL(finit_module),
                                   CALL(delete_module),
                                   CALL(kexec_load),
                                   CALL(kexec_file_load),
                                   CALL(reboot),
                                   CALL(swapon),
                                   CALL(swapoff),
                                   CALL(acct),
                                   CALL(iopl),
                                   CALL(ioperm),
                                   CALL(modify_ldt),
                                   CALL(open_by_handle_at),
                                   CALL(name_to_handle_at),
                                   CALL(setuid),
                                   CALL(setreuid),
                                   CALL(setresuid),
                                   CALL(setgid),
                                   CALL(setregid),
                                   CALL(setresgid),
                                   CALL(setgroups),
                                   CALL(capset),
                                   CALL(clock_settime),
                                   CALL(settimeofday),
                                   CALL(sethostname),
                                   CALL(quotactl),
                                   CALL(fanotify_init),
                                   CALL(vmsplice),
                                   CALL(personality),
                                   END};

bool confine_relaxed(void)
{
    return SANITIZED;
}

/* ---- putting a filter together ---- */

struct building {
    scmp_filter_ctx ctx;
    int rc; /* of the first call that failed */
};

/* A call that this machine does not have has no number, and needs no rule. */
static void rule(struct building *b, uint32_t action, int call, unsigned n,
                 const struct scmp_arg_cmp *args)
{
    int rc = seccomp_rule_add_array(b->ctx, action, call, n, args);
    if (b->rc == 0 && rc != 0 && rc != -EDOM)
        b->rc = rc;
}

static void rules(struct building *b, uint32_t action, const int *calls)
{
    for (; *calls != END; calls++)
        rule(b, action, *calls, 0, NULL);
}

static void when(struct building *b, uint32_t action, int call, struct scmp_arg_cmp arg)
{
    rule(b, action, call, 1, &arg);
}

/* Memory is never both written and run: what an intruder puts there stays data.  `code`: libraries
 * may still be loaded. */
static void memory_rules(struct building *b, bool code)
{
    when(b, SCMP_ACT_ALLOW, CALL(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    when(b, SCMP_ACT_ALLOW, CALL(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (code)
        when(b, SCMP_ACT_ALLOW, CALL(mmap),
             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
}

/* abort(3) and failed assertions: to itself. */
static void signals_to(struct building *b, int call, int pid)
{
    when(b, SCMP_ACT_ALLOW, call, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)(unsigned)pid));
}

static void signer_rules(struct building *b, int also)
{
    rules(b, SCMP_ACT_ALLOW, basic_calls);
    rules(b, SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), signer_tries);
    memory_rules(b, false);
    when(b, SCMP_ACT_ALLOW, CALL(write), SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO));
    if (also > 0)
        when(b, SCMP_ACT_ALLOW, CALL(write), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)(unsigned)also));
    when(b, SCMP_ACT_ALLOW, CALL(writev), SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO));
    when(b, SCMP_ACT_ALLOW, CALL(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS));
    /* fstat(3) of this libc; a path names nothing that could be had */
    when(b, SCMP_ACT_ALLOW, CALL(newfstatat), SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
    signals_to(b, CALL(tgkill), getpid());
}

/* Threads, but no processes.  What clone3 is asked for cannot be seen from here: with ENOSYS libc
 * takes clone. */
static void worker_rules(struct building *b)
{
    memory_rules(b, true);
    when(b, SCMP_ACT_ALLOW, CALL(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    when(b, SCMP_ACT_ALLOW, CALL(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    when(b, SCMP_ACT_ALLOW, CALL(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0)); /* its own limits */
    for (size_t i = 0; i < sizeof front_ioctls / sizeof *front_ioctls; i++)
        when(b, SCMP_ACT_ALLOW, CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, front_ioctls[i]));
    signals_to(b, CALL(tgkill), getpid());
    signals_to(b, CALL(kill), getpid());
}

static void front_rules(struct building *b, int also)
{
    rules(b, SCMP_ACT_ALLOW, basic_calls);
    rules(b, SCMP_ACT_ALLOW, front_calls);
    rules(b, SCMP_ACT_ALLOW, serving_calls);
    worker_rules(b);
    /* for telling the service manager; such a socket connects to nothing */
    const struct scmp_arg_cmp datagrams[] = {SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
                                             SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_DGRAM)};
    rule(b, SCMP_ACT_ALLOW, CALL(socket), 2, datagrams);
    if (also > 0)
        signals_to(b, CALL(kill), also);
}

/* TCP to servers, UDP to those that know names, and what libc asks the kernel about addresses. */
static void outside_rules(struct building *b)
{
    static const unsigned families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    rules(b, SCMP_ACT_ALLOW, basic_calls);
    rules(b, SCMP_ACT_ALLOW, front_calls);
    worker_rules(b);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        when(b, SCMP_ACT_ALLOW, CALL(socket), SCMP_A0(SCMP_CMP_EQ, families[i]));
    rule(b, SCMP_ACT_ALLOW, CALL(connect), 0, NULL);
    rule(b, SCMP_ACT_ALLOW, CALL(bind), 0, NULL); /* libc's netlink socket */
}

/* It forks what connects, and that inherits what it cannot do. */
static void outsider_rules(struct building *b)
{
    rules(b, SCMP_ACT_ERRNO(EPERM), serving_calls);
    when(b, SCMP_ACT_ERRNO(EPERM), CALL(mmap),
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE));
    when(b, SCMP_ACT_ERRNO(EPERM), CALL(mprotect),
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
}

/* It forks and reads whatever the configuration names: here it is easier to say what it may not. */
static void keeper_rules(struct building *b)
{
    when(b, SCMP_ACT_ERRNO(EPERM), CALL(socket), SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    rule(b, SCMP_ACT_ERRNO(EPERM), CALL(connect), 0, NULL);
    rule(b, SCMP_ACT_ERRNO(EPERM), CALL(bind), 0, NULL);
    rule(b, SCMP_ACT_ERRNO(EPERM), CALL(listen), 0, NULL);
    when(b, SCMP_ACT_ERRNO(EPERM), CALL(mmap),
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE));
    when(b, SCMP_ACT_ERRNO(EPERM), CALL(mprotect),
         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
}

/* The runtimes of the sanitizers look at themselves, write reports, and look for leaks at the end
 * from a traced clone. */
static void sanitizer_rules(struct building *b)
{
    static const int calls[] = {CALL(ptrace),
                                CALL(wait4),
                                CALL(prctl),
                                CALL(read),
                                CALL(write),
                                CALL(open),
                                CALL(openat),
                                CALL(readlink),
                                CALL(readlinkat),
                                CALL(stat),
                                CALL(newfstatat),
                                CALL(getrlimit),
                                CALL(prlimit64),
                                CALL(setrlimit),
                                CALL(sched_getaffinity),
                                CALL(getdents),
                                CALL(getdents64),
                                CALL(lseek),
                                CALL(clone),
                                CALL(kill),
                                CALL(tgkill),
                                CALL(sysinfo),
                                CALL(getppid),
                                CALL(pipe),
                                CALL(mincore),
                                CALL(uname),
                                CALL(getuid),
                                CALL(geteuid),
                                END};
    rules(b, SCMP_ACT_ALLOW, calls);
}

static uint32_t otherwise(enum confine_role role)
{
    switch (role) {
    case CONFINE_SIGNER:
        return SCMP_ACT_KILL_PROCESS;
    case CONFINE_KEEPER:
    case CONFINE_OUTSIDER:
        return SCMP_ACT_ALLOW;
    case CONFINE_OUTSIDE:
    case CONFINE_FRONT:
        return SCMP_ACT_ERRNO(ENOSYS);
    }
    return SCMP_ACT_KILL_PROCESS;
}

static int build(struct building *b, enum confine_role role, int also)
{
    if (role != CONFINE_SIGNER) {
        rules(b, SCMP_ACT_KILL_PROCESS, deadly_calls);
        if (!SANITIZED)
            rule(b, SCMP_ACT_KILL_PROCESS, CALL(ptrace), 0, NULL);
    }
    if (SANITIZED && otherwise(role) != SCMP_ACT_ALLOW)
        sanitizer_rules(b);
    if (role == CONFINE_SIGNER)
        signer_rules(b, also);
    else if (role == CONFINE_FRONT)
        front_rules(b, also);
    else if (role == CONFINE_OUTSIDE)
        outside_rules(b);
    else if (role == CONFINE_OUTSIDER)
        outsider_rules(b);
    else
        keeper_rules(b);
    return b->rc;
}

/* Does the kernel know filters, and the action that ends a process (Linux 4.14)? */
static bool kernel_filters(void)
{
    uint32_t action = SCMP_ACT_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool confine_calls(enum confine_role role, int also, unsigned *lacks, struct err *err)
{
    if (!kernel_filters()) {
        *lacks |= CONFINE_LACKS_CALLS;
        return true;
    }
    struct building b = {.ctx = seccomp_init(otherwise(role))};
    if (!b.ctx)
        return err_memory(err);
    int rc = seccomp_attr_set(b.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc == 0)
        rc = seccomp_attr_set(b.ctx, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads */
    if (rc == 0)
        rc = seccomp_attr_set(b.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (rc == 0)
        rc = build(&b, role, also);
    if (rc == 0)
        rc = seccomp_load(b.ctx);
    seccomp_release(b.ctx);
    errno = -rc;
    return rc == 0 || err_errno(err, "cannot filter system calls");
}
