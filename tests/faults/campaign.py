"""What the campaign is made of: a supervisor that starts the daemon again whenever it ends, the load, a server elsewhere that
is not reliable either, an administrator, and the accounts that are drawn up at the end."""

import collections
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import Elsewhere
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


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


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
        """By name: daemon, keeper, signer, outsider, outside; of what is not there, none."""
        found = collections.defaultdict(list, daemon=[self.process.pid])
        forked = children(self.process.pid)
        for pid in [*forked, *(c for f in forked for c in children(f))]:
            found[name_of(pid).removeprefix("scepd-")].append(pid)
        return found

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

    def __init__(self, authority, devices, connections, *more, before=None, env=None, prefix="load", given=None):
        """`before` is called when everything is prepared and no device has sent anything yet; `given`: a challenge for each."""
        self.dir = tempfile.mkdtemp(prefix="scepd-load-", dir="/tmp")  # never on the disk that is filled
        self.acks, self.list, challenges, ready, hold = (
            os.path.join(self.dir, name) for name in ("acks", "list", "challenges", "ready", "hold"))
        with open(challenges, "w") as f:
            f.writelines(line + "\n" for line in given or ())
            for first in range(0, 0 if given else devices, AT_ONCE):
                f.write(authority.ctl("challenge", "new", "--count", min(AT_ONCE, devices - first), "--expires", "1d",
                                      "-q", env=env, timeout=300).stdout)
        self.process = subprocess.Popen(
            [SCEPLOAD, "--port", str(authority.port), "-n", str(devices), "--connections", str(connections),
             "--challenges", challenges, "--acks", self.acks, "--list", self.list, "--retry", "300", "--start-file", ready,
             "--hold", hold, "--prefix", prefix, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while not os.path.exists(ready) and self.running():
            time.sleep(0.02)
        if before:
            before()
        with open(hold, "wb"):
            pass
        self.line = len(prefix + "-000000\n")

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


class StandIn(Elsewhere):
    """Is asked before and told after (docs/WEBHOOKS.md).  Now and then it fails, says nothing, or takes a notice and dies before
    it can say so."""

    def __init__(self, seed):
        super().__init__(self.say)
        self.random = random.Random(seed)
        self.asked_about = collections.Counter()  # transactions
        self.told = collections.defaultdict(collections.Counter)  # serial to the ids of the notices that were taken

    def say(self, asked):
        q = asked.json
        self.forget()  # there are many
        with self.lock:
            chance = self.random.random()
            if chance < 0.04:
                return (503, "") if chance < 0.02 else None
            if q["event"] == "validate":
                self.asked_about[q["transaction"]] += 1
                return 200, {"allow": True}
            self.told[q["serial"].lower()][q["id"], q["event"], q["device"], q["policy"], q["challenge_id"]] += 1
        return None if chance < 0.08 else (200, "")


class Administrator(threading.Thread):
    """Makes challenges by the API, one after the other, and asks again with the same Idempotency-Key until it is answered."""

    def __init__(self, port, token):
        super().__init__()
        self.port, self.token = port, token
        self.made = {}  # label to id, of those that were acknowledged
        self.unknown = 0  # cut off between the deed and its answer: one has to look
        self.tries = 0
        self.odd = []
        self.leave = threading.Event()

    def post(self, label):
        """Status and body; 0: no answer."""
        self.tries += 1
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request("POST", "/api/v1/challenges", json.dumps({"label": label, "expires_seconds": 86400}),
                      {"Authorization": "Bearer " + self.token, "Content-Type": "application/json", "Idempotency-Key": label})
            r = c.getresponse()
            return r.status, json.loads(r.read() or "{}")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            c.close()

    def make(self, label):
        while not self.leave.is_set():
            status, body = self.post(label)
            if status == 201:
                self.made[label] = body["id"]
            elif status == 409 and body["code"] == "repeat.unknown":
                self.unknown += 1
            elif status in (0, 503):
                self.leave.wait(0.05)
                continue
            else:
                self.odd.append((label, status, body))
            return

    def run(self):
        for i in range(1000000):
            if self.leave.wait(0.02):
                return
            self.make(f"api-{i}")

    def close(self):
        self.leave.set()
        self.join()


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
