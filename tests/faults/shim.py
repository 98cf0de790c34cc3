"""Faults at the store's system calls, from outside: the other half of faultshim.c."""

import errno
import mmap
import os
import struct

from harness import BUILD, preload

SHIM = os.path.join(BUILD, "tests", "faults", "libfaultshim.so")
# As faultshim.c has them.
CALLS = ("write", "sync", "meta", "other_sync")
ACTIONS = ("none", "fail", "kill-before", "kill-after", "kill-half", "fail-half")
RULE = struct.Struct("=6i")  # action, after, times, error, hits, seen


class Faults:
    """Rules that programs with `env` obey from the moment they are set.

    write, sync, meta: what a commit of the store does, in this order; other_sync: of any other file."""

    def __init__(self, directory, name="faults", env=None):
        self.file = os.path.join(directory, name)
        with open(self.file, "wb") as f:
            f.write(bytes(RULE.size * len(CALLS)))
        with open(self.file, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        env = dict(env or os.environ)
        before = env.get("LD_PRELOAD")
        env["LD_PRELOAD"] = preload(SHIM) + (" " + before if before else "")
        env["FAULT_CONTROL"] = self.file
        self.env = env

    def at(self, call):
        return CALLS.index(call) * RULE.size

    def set(self, call, action, after=0, times=1, error=errno.EIO):
        """After so many calls that pass, so many (-1: all) get the fault.  The action is written last: it lets go."""
        at = self.at(call)
        RULE.pack_into(self.map, at, 0, after, times, error, 0, 0)
        struct.pack_into("=i", self.map, at, ACTIONS.index(action))

    def clear(self):
        for call in CALLS:
            struct.pack_into("=i", self.map, self.at(call), 0)

    def hits(self, call):
        return RULE.unpack_from(self.map, self.at(call))[4]

    def seen(self, call):
        """Calls since the rule was set, faulty ones included."""
        return RULE.unpack_from(self.map, self.at(call))[5]
