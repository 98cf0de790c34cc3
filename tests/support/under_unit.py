#!/usr/bin/python3
"""Runs a command under what conf/scepd.service demands, as far as it can be had without systemd and mount namespaces:
limits, umask, no new privileges, no capabilities, and the system call filter with the restrictions that systemd builds of
system calls.  Debian's own python3, for its seccomp module.

    under_unit.py UNIT [--user NAME] -- COMMAND...
    under_unit.py UNIT --list       what of the unit's [Service] section is applied, and what is not
"""

import errno
import os
import pwd
import resource
import subprocess
import sys

APPLIED = {
    "UMask", "LimitNOFILE", "LimitMEMLOCK", "LimitCORE", "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities",
    "SystemCallFilter", "SystemCallErrorNumber", "SystemCallArchitectures", "RestrictAddressFamilies",
    "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "User", "Group",
}
# What says how the manager starts and stops the service: its own affair.
MANAGER = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "KillMode", "TimeoutStopSec", "WatchdogSec", "Restart", "RestartSec",
}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
NAMESPACES = 0x7E020080  # all CLONE_NEW* of namespaces(7)
SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def settings(path):
    """[(key, value)] of the section [Service]."""
    found, inside = [], False
    with open(path) as f:
        for line in f:
            line = line.strip()
            if line.startswith("["):
                inside = line == "[Service]"
            elif inside and line and not line.startswith("#"):
                key, _, value = line.partition("=")
                found.append((key, value))
    return found


def expand(group):
    """The system calls of @group, as this systemd has them."""
    names = set()
    out = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True).stdout
    for word in (line.strip() for line in out.splitlines()[1:]):
        if word.startswith("@"):
            names |= expand(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def allowed_calls(unit):
    allowed = set()
    for key, value in unit:
        if key == "SystemCallFilter":
            take = value.startswith("~")
            for word in value.lstrip("~").split():
                names = expand(word) if word.startswith("@") else {word}
                allowed = allowed - names if take else allowed | names
    return allowed


def build_filter(unit):
    import seccomp
    values = dict(unit)
    f = seccomp.SyscallFilter(seccomp.ERRNO(getattr(errno, values["SystemCallErrorNumber"])))
    special = {"socket", "mmap", "mprotect", "unshare", "setns", "clone3", "personality", "sched_setscheduler"}
    for name in sorted(allowed_calls(unit) - special):
        try:
            f.add_rule(seccomp.ALLOW, name)
        except RuntimeError:
            pass  # not a system call of this machine
    f.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # as systemd does, since its flags are out of sight
    for family in values["RestrictAddressFamilies"].split():
        f.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, FAMILIES[family]))
    # mmap and mprotect without PROT_EXEC, or with it and without PROT_WRITE
    f.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, 4, 0))
    f.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, 6, 4))
    f.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, 4, 0))
    f.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, 6, 4))
    return f


def limit(which, text):
    n = int(text[:-1]) * SIZES[text[-1]] if text[-1] in SIZES else int(text)
    hard = resource.getrlimit(which)[1]
    n = n if hard == resource.RLIM_INFINITY else min(n, hard)
    resource.setrlimit(which, (n, n))


def main():
    unit = settings(sys.argv[1])
    if "--list" in sys.argv:
        for key in dict(unit):
            print("applied" if key in APPLIED else "manager" if key in MANAGER else "not", key)
        return
    command = sys.argv[sys.argv.index("--") + 1:]
    user = sys.argv[sys.argv.index("--user") + 1] if "--user" in sys.argv[: sys.argv.index("--")] else None
    values = dict(unit)
    f = build_filter(unit)
    os.umask(int(values["UMask"], 8))
    limit(resource.RLIMIT_NOFILE, values["LimitNOFILE"])
    limit(resource.RLIMIT_MEMLOCK, values["LimitMEMLOCK"])
    limit(resource.RLIMIT_CORE, values["LimitCORE"])
    if os.geteuid() == 0 and user:
        p = pwd.getpwnam(user)
        libc_drop_bounding()
        os.setgroups([p.pw_gid])
        os.setgid(p.pw_gid)
        os.setuid(p.pw_uid)
    f.load()  # sets no_new_privs
    os.execv(command[0], command)


def libc_drop_bounding():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


if __name__ == "__main__":
    main()
