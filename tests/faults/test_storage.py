"""Disks that are full, read-only or failing: answered with 503 and Retry-After, told by /healthz, and over by itself.

Devices come while the fault lasts and do not give up; when it has gone they all get their certificate from the same
daemon, and the accounts agree.  Small file systems are mounted in a name space of this process; where nothing may be
mounted, nothing of this is run (exit code 77)."""

import collections
import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.dirname(__file__))
from campaign import Accounts, Load
from harness import SCEPCTL, SCEPD, Authority, free_port, run
from shim import Faults

DEVICES = int(os.environ.get("FAULTS_DEVICES", 40))
CLONE_NEWNS = 0x20000


def may_mount():
    """In a name space of its own, so that nothing of it is left whatever happens."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0 and
            subprocess.run(["mount", "--make-rprivate", "/"]).returncode == 0)


class Storage(unittest.TestCase):

    def setUp(self):
        self.authority()

    def authority(self):
        admin, self.api_port = free_port(), free_port()
        self.a = Authority(init_args=("--admin-port", admin, "--api-port", self.api_port))
        self.admin = f"http://127.0.0.1:{admin}"
        self.addCleanup(self.a.close)
        control = tempfile.mkdtemp(prefix="scepd-faults-", dir="/tmp")
        self.addCleanup(shutil.rmtree, control, True)
        self.faults = Faults(control)
        self.a.env = self.faults.env

    def wait_for(self, what, doing, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, f"waited in vain: {doing}")
            time.sleep(0.02)

    def ask(self, path):
        try:
            with urllib.request.urlopen(self.admin + path, timeout=20) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def check(self, name):
        """A check's status, and whether devices should come at all."""
        _, text = self.ask("/healthz")
        return {c["name"]: c["status"] for c in json.loads(text)["checks"]}[name]

    def failed(self, reason):
        """Answers that could not be given, by /metrics."""
        name = f'scepd_scep_refusals_total{{endpoint="/scep",reason="{reason}"}}'
        return sum(float(line.split()[-1]) for line in self.ask("/metrics")[1].splitlines() if line.startswith(name))

    def load(self, *more, before=None, devices=DEVICES):
        load = Load(self.a, devices, 16, *more, before=before)
        self.addCleanup(load.close)
        return load

    def served(self, load):
        """Everybody has got a certificate, and some were sent away first.  Common name to serial."""
        figures, out = load.wait(200)
        self.assertEqual({line["issued"] for line in figures}, {line["n"] for line in figures}, out)
        self.assertGreater(int(figures[0]["retries"]), 0, "the fault was not met")
        return load.serials()

    def assert_all_well(self, got, others=0):
        """Nothing is stored twice or half, and the daemon is the same as before; `others`: challenges not used."""
        self.assertEqual(self.check("commit"), "pass")
        self.assertIsNone(self.a.process.poll())
        self.assertEqual(self.a.stop(), 0)
        accounts = Accounts(self.a)
        self.assertEqual(accounts.by_name(), got)
        used = collections.Counter((c["state"], c["used"]) == ("used", "1 of 1") for c in accounts.challenges)
        self.assertEqual(used, collections.Counter({True: len(got), False: others}))
        self.a.ctl("store", "verify", env=None)
        self.a.ctl("audit", "verify", env=None)

    # ---- calls that fail ----

    def meet(self, number, call, action, error, reason, times):
        """One fault while devices come; it goes when somebody was sent away and /healthz has told."""
        before = self.failed(reason)
        load = self.load("--prefix", f"fault{number}",
                         before=lambda: self.faults.set(call, action, after=2, times=times, error=error))
        self.wait_for(lambda: self.failed(reason) > before, f"answers with {reason}")
        if times < 0:
            self.wait_for(lambda: self.check("commit") == "fail", "what /healthz says")
            self.assertEqual(self.ask("/readyz")[0], 503)
        self.faults.clear()
        got = self.served(load)
        self.assertEqual(self.check("commit"), "pass")
        self.a.ctl("store", "verify", env=None)
        return got

    def test_failing_calls(self):
        got = {}
        self.a.start()
        for number, fault in enumerate((
                ("write", "fail", errno.EIO, "internal", -1), ("write", "fail-half", errno.EIO, "internal", 1),
                ("write", "fail", errno.ENOSPC, "store.full", -1), ("sync", "fail", errno.EIO, "internal", -1),
                ("sync", "fail", errno.ENOSPC, "store.full", 3), ("sync", "fail", errno.EIO, "internal", 1),
                ("meta", "fail", errno.EIO, "internal", 1), ("meta", "fail-half", errno.EIO, "internal", 1),
                ("meta", "fail", errno.EIO, "internal", -1), ("meta", "fail", errno.ENOSPC, "store.full", 3),
                ("write", "fail", errno.EROFS, "internal", -1), ("meta", "fail", errno.EROFS, "internal", -1))):
            with self.subTest(fault=fault):
                got.update(self.meet(number, *fault))
        self.assert_all_well(got)
        self.assertIn("event=store.renewed", self.a.log_text())

    def test_a_tool_is_told(self):
        """scepctl says why, exits with failure and leaves nothing half done."""
        for call in ("write", "sync", "meta"):
            self.faults.set(call, "fail", times=-1, error=errno.EIO)
            r = self.a.ctl("challenge", "new", check=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertEqual(r.stdout, "")
            self.assertIn("Input/output error", r.stderr)
            self.faults.clear()
        self.assertEqual(self.a.json("challenge", "list", "--limit", 0), [])
        self.a.challenge()
        self.a.ctl("store", "verify")

    # ---- the API ----

    def token(self):
        self.a.ctl("admin", "new", "boss", "--role", "operator", env=None)
        return self.a.ctl("admin", "token", "new", "boss", "-q", env=None).stdout.strip()

    def post(self, token, label):
        """A challenge, once for each label: status, code of a problem, Retry-After."""
        r = urllib.request.Request(f"http://127.0.0.1:{self.api_port}/api/v1/challenges", json.dumps({"label": label}).encode(),
                                   {"Authorization": "Bearer " + token, "Content-Type": "application/json", "Idempotency-Key": label})
        try:
            with urllib.request.urlopen(r, timeout=60) as made:
                return made.status, None, None
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read())["code"], e.headers["Retry-After"]

    def test_the_api_is_told(self):
        """It says so and leaves nothing half done; the same call is done, once, when the disk works again."""
        self.a.start()
        token = self.token()
        self.assertEqual(self.post(token, "before")[0], 201)
        done = ["before"]
        for number, (call, error, code) in enumerate((
                ("write", errno.EIO, "unavailable"), ("sync", errno.EIO, "unavailable"), ("meta", errno.EIO, "unavailable"),
                ("write", errno.EROFS, "unavailable"), ("write", errno.ENOSPC, "store.full"), ("sync", errno.ENOSPC, "store.full"))):
            with self.subTest(call=call, error=error):
                label = f"try-{number}"
                self.faults.set(call, "fail", times=-1, error=error)
                status, told, after = self.post(token, label)
                self.assertEqual((status, told), (503, code))
                self.assertGreater(int(after), 0)
                self.faults.clear()
                self.assertEqual(self.post(token, label)[0], 201)
                done.append(label)
        self.assertIsNone(self.a.process.poll())
        self.assertEqual(self.a.stop(), 0)
        self.assertEqual(sorted(c["label"] for c in self.a.json("challenge", "list", "--limit", 0)), sorted(done))
        self.a.ctl("store", "verify", env=None)
        self.a.ctl("audit", "verify", env=None)

    # ---- a file that is gone ----

    def test_the_file_is_replaced(self):
        """A copy stands at the store's path, then nothing, then the store again: what is told is in the store."""
        data = os.path.join(self.a.home, "store", "data.mdb")
        got = {}
        self.a.start()
        for number, replace in enumerate((True, False)):
            before = self.failed("store.gone")
            away = data + ".away"

            def take():
                if replace:
                    shutil.copyfile(data, data + ".copy")
                os.rename(data, away)
                if replace:
                    os.rename(data + ".copy", data)

            load = self.load("--prefix", f"gone{number}", before=take)
            self.wait_for(lambda: self.failed("store.gone") > before, "answers with store.gone")
            self.wait_for(lambda: self.check("store") == "fail", "what /healthz says")
            self.assertIn("data.mdb was replaced, moved or removed", self.ask("/healthz")[1])
            self.assertEqual(self.ask("/readyz")[0], 503)
            r = self.a.ctl("status", env=None, check=False)
            self.assertIn("restart scepd", r.stdout)
            os.rename(away, data)
            got.update(self.served(load))
            self.wait_for(lambda: self.check("store") == "pass", "what /healthz says afterwards")
        self.assert_all_well(got)
        self.assertIn("event=store.gone", self.a.log_text())
        self.assertIn("event=store.back", self.a.log_text())

    # ---- file systems ----

    def mount(self, size):
        """Everything of the authority, its log too, on a small file system."""
        self.disk = tempfile.mkdtemp(prefix="scepd-disk-")
        self.addCleanup(os.rmdir, self.disk)
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", self.disk)
        self.addCleanup(run, "umount", "-l", self.disk)
        before, tempfile.tempdir = tempfile.tempdir, self.disk
        try:
            self.authority()
        finally:
            tempfile.tempdir = before

    def fill(self):
        """Not a block is left."""
        self.ballast = os.path.join(self.disk, "ballast")
        with open(self.ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(1 << 16))
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOSPC)
            try:
                while True:
                    f.write(bytes(1 << 10))
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOSPC)

    def test_full_disk(self):
        self.mount("48m")
        self.a.start()
        token = self.token()
        load = self.load("--again", before=self.fill)
        self.wait_for(lambda: self.failed("store.full") > 3, "answers with store.full")
        self.wait_for(lambda: self.check("disk") == "fail", "what /healthz says of the disk")
        self.assertEqual(self.ask("/readyz")[0], 503)
        self.a.get("/scep?operation=GetCACert")  # what needs no disk goes on
        self.a.get("/crl/demo.crl")
        r = self.a.ctl("challenge", "new", "--count", 2000, check=False, env=None)
        self.assertIn("the disk is full", r.stderr)
        self.assertEqual(self.post(token, "full"), (503, "store.full", "60"))
        os.unlink(self.ballast)
        self.wait_for(lambda: self.check("disk") != "fail", "that /healthz sees room again")
        got = self.served(load)
        self.assertEqual(self.post(token, "full")[0], 201)
        made, = self.a.json("challenge", "list", "--state", "active", "--limit", 0)
        self.assertEqual(made["label"], "full")
        self.assert_all_well(got, 1)

    def test_started_on_a_full_disk(self):
        """A store that is there can be read, so the daemon starts, and sends away who needs it written."""
        self.mount("48m")
        self.a.start()
        self.assertEqual(self.a.stop(), 0)
        self.fill()
        self.a.start()
        os.unlink(self.ballast)
        load = self.load(before=self.fill)
        self.wait_for(lambda: self.failed("store.full") > 0, "answers with store.full")
        os.unlink(self.ballast)
        self.assert_all_well(self.served(load))

    def test_read_only_file_system(self):
        """Nothing can be served from one: the daemon and the tools say so, and damage nothing."""
        self.mount("48m")
        run("mount", "-o", "remount,ro", self.disk)
        r = run(SCEPD, "-c", self.a.conf, check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("Read-only file system", r.stderr)
        r = run(SCEPCTL, "-c", self.a.conf, "challenge", "new", check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("Read-only file system", r.stderr)
        run("mount", "-o", "remount,rw", self.disk)
        self.a.start()
        self.a.ctl("store", "verify", env=None)
        self.assertEqual(self.a.stop(), 0)


if __name__ == "__main__":
    if not may_mount():
        print("not run: mounting a small file system needs root")
        sys.exit(77)
    unittest.main()
