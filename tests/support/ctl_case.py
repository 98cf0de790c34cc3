"""What the tests of scepctl share: the program run with or without a terminal, and authorities to run it on.  The daemon
does not run."""

import json
import os
import pty
import shutil
import subprocess
import tempfile
import unittest

from harness import SCEPCTL, run

SEED = os.environ["SCEPD_SEED_STORE"]
DONE, FAILED, USAGE, NOT_FOUND, NOT_PERMITTED, CONFLICT, UNAVAILABLE, PROBLEMS, DAMAGED = range(9)
INTERRUPTED = 130
ESC = "\x1b"


def ctl(*args, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    env = {k: v for k, v in os.environ.items() if not k.startswith("SCEPD_")} | more.pop("env", {})
    if "input" in more:
        del more["stdin"]
    return run(more.pop("program", SCEPCTL), *args, check=False, env=env, **more)


def make_home(*args):
    home = tempfile.mkdtemp(prefix="scepctl-test-")
    r = ctl("init", "--home", home, *args)
    assert r.returncode == DONE, r.stderr
    return home, r


class Case(unittest.TestCase):
    def exits(self, code, r):
        """That exit code, or everything that was said."""
        self.assertEqual(r.returncode, code, f"{r.args}\n{r.stdout}\n{r.stderr}")
        return r


class WithAuthority(Case):
    @classmethod
    def setUpClass(cls):
        cls.home, _ = make_home("--demo", "--key", "p256")
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.conf = cls.home + "/scepd.conf"

    def ctl(self, *args, **more):
        return ctl("-c", self.conf, *args, **more)

    def lines(self, *args):
        return [json.loads(line) for line in self.exits(DONE, self.ctl(*args, "--json")).stdout.splitlines()]

    def on_terminal(self, *args, columns=80, answer="", meanwhile=None, **env):
        """Exit code and what the terminal shows.  No colours unless TERM is given.  `meanwhile` is called when it asks."""
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update({"COLUMNS": str(columns), "TERM": "dumb", "LC_ALL": "C.UTF-8"} | env)
            os.execv(SCEPCTL, [SCEPCTL, "-c", self.conf, *args])
        out = b""
        while meanwhile and not out.rstrip().endswith(b":"):
            out += os.read(fd, 65536)
        if meanwhile:
            meanwhile()
        if answer:
            os.write(fd, answer.encode())
        while True:
            try:
                chunk = os.read(fd, 65536)
            except OSError:
                break
            if not chunk:
                break
            out += chunk
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code, out.decode().replace("\r\n", "\n")


class Seeded(WithAuthority):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run(SEED, cls.home + "/store", cls.home + "/ca/ca.pem")

    def assert_harmless(self, text, newlines):
        self.assertNotIn(ESC, text)
        self.assertNotIn("\u202e", text)
        self.assertEqual(text.count("\n"), newlines)
