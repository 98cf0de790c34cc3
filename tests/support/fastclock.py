"""A clock that a test moves, for real programs: libfaketime, preloaded, adds what stands in a file to the time of day.

Monotonic clocks, and with them timeouts, stay what they are."""

import glob
import os
import time
from datetime import datetime, timezone

DAY = 86400
YEAR = 365 * DAY


class FastClock:

    def __init__(self, directory):
        self.file = os.path.join(directory, "clock")
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            raise AssertionError("libfaketime is not installed; run ./check, which installs it")
        self.ahead = 0
        self.write()
        self.env = dict(os.environ, LD_PRELOAD=found[0], FAKETIME_TIMESTAMP_FILE=self.file, FAKETIME_NO_CACHE="1",
                        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1", FAKETIME_DONT_RESET="1",
                        # else timed waits on conditions with a monotonic clock return at once
                        FAKETIME_FORCE_MONOTONIC_FIX="0")

    def write(self):
        """At once for all: the file is replaced, never half written."""
        with open(self.file + ".new", "w") as f:
            f.write(f"+{self.ahead}\n")
        os.rename(self.file + ".new", self.file)

    def jump(self, seconds):
        self.ahead += int(seconds)
        self.write()

    def now(self):
        """Unix seconds, as the programs see them."""
        return time.time() + self.ahead

    def date(self):
        return datetime.fromtimestamp(self.now(), timezone.utc)
