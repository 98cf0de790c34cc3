"""What the campaign is made of: a supervisor that starts the daemon again whenever it ends, the load, and the accounts
that are drawn up at the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, SCEPD, run

SCEPLOAD = os.path.join(BUILD, "tests", "bench", "scepload")
LIST_ATTEMPTS = os.path.join(BUILD, "tests", "faults", "list_attempts")

AT_ONCE = 10000  # challenges of one command


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += [int(word) for word in f.read().split()]
    except OSError:
        pass  # it has ended
    return found


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


class Supervisor:
    """Starts the daemon again whenever it ends, as a service manager does, and remembers how it ended."""

    def __init__(self, authority, env):
        self.a, self.env = authority, env
        self.ends = []  # exit codes, a signal as its negative number
        self.stopping = False
        self.process = None
        self.start()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def start(self):
        with open(self.a.log_path, "ab") as log:
            self.process = subprocess.Popen([SCEPD, "-c", self.a.conf], stdout=log, stderr=log, env=self.env)

    def watch(self):
        while True:
            code = self.process.wait()
            if self.stopping:
                self.code = code
                return
            self.ends.append(code)
            if code > 0:
                time.sleep(0.1)
            self.start()

    def pids(self):
        """Daemon, keeper, signers; what is not there is missing."""
        daemon = self.process.pid
        keepers = children(daemon)
        return daemon, keepers, [s for k in keepers for s in children(k)]

    def stop(self):
        """An orderly end; its exit code."""
        self.stopping = True
        self.process.send_signal(signal.SIGTERM)
        self.thread.join(60)
        return self.code

    def close(self):
        """However it stands."""
        self.stopping = True
        self.process.kill()
        self.thread.join(60)


class Load:
    """Devices that do not give up: scepload, and what it has written so far."""

    def __init__(self, authority, devices, connections, *more, before=None, env=None):
        """`before` is called when everything is prepared and no device has sent anything yet."""
        self.dir = tempfile.mkdtemp(prefix="scepd-load-", dir="/tmp")  # never on the disk that is filled
        self.acks, self.list, challenges, ready, hold = (
            os.path.join(self.dir, name) for name in ("acks", "list", "challenges", "ready", "hold"))
        with open(challenges, "w") as f:
            for first in range(0, devices, AT_ONCE):
                f.write(authority.ctl("challenge", "new", "--count", min(AT_ONCE, devices - first), "--expires", "1d",
                                      "-q", env=env, timeout=300).stdout)
        self.process = subprocess.Popen(
            [SCEPLOAD, "--port", str(authority.port), "-n", str(devices), "--connections", str(connections),
             "--challenges", challenges, "--acks", self.acks, "--list", self.list, "--retry", "300", "--start-file", ready,
             "--hold", hold, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while not os.path.exists(ready) and self.running():
            time.sleep(0.02)
        if before:
            before()
        with open(hold, "wb"):
            pass
        self.line = len("load-000000\n")

    def acknowledged(self):
        """How many devices have their reply."""
        try:
            return os.path.getsize(self.acks) // self.line
        except OSError:
            return 0

    def names(self):
        """Whose reply has arrived, as of now."""
        with open(self.acks) as f:
            return f.read().split()

    def running(self):
        return self.process.poll() is None

    def wait(self, seconds):
        """Its lines of figures, as dictionaries; all devices must have got their certificate."""
        out, _ = self.process.communicate(timeout=seconds)
        if self.process.returncode != 0:
            raise AssertionError(out)
        return [dict(word.split("=", 1) for word in line.split() if "=" in word)
                for line in out.splitlines() if line.startswith("load ")], out

    def serials(self):
        """What each device got: common name to serial."""
        with open(self.list) as f:
            return dict(line.split() for line in f)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir, True)


class Accounts:
    """What the store says, for comparing; read while nothing writes."""

    def __init__(self, authority):
        self.a = authority
        self.certs = self.list("cert", "list", "--limit", 0)
        self.challenges = self.list("challenge", "list", "--limit", 0)
        self.audit = self.list("audit", "list", "--from", 1, "--limit", 0)
        out = run(LIST_ATTEMPTS, os.path.join(authority.home, "store"), timeout=600).stdout
        self.attempts = [line.split("\t") for line in out.splitlines()]

    def list(self, *args):
        out = self.a.ctl(*args, "--json", env=None, timeout=600).stdout
        return [json.loads(line) for line in out.splitlines()]

    def by_name(self):
        return {c["subject"].removeprefix("CN="): c["serial"].lower() for c in self.certs}
