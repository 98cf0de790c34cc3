"""Nothing lost and nothing doubled, whatever is killed: the campaign.

Devices with one-time challenges enrol and do not give up, while the daemon, its signer, its keeper and administrators'
commands are killed with -9 at random moments, and inside the commit: before, in and after each of its writes and syncs.
Meanwhile the running store is copied.  In the end the accounts must agree, those of the restored copy too.

FAULTS_DEVICES, FAULTS_KILLS, FAULTS_BACKUPS and FAULTS_CONNECTIONS make it longer; FAULTS_SEED repeats the choices."""

import collections
import json
import os
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.dirname(__file__))
from campaign import Accounts, Load, Supervisor, kill
from harness import SCEPCTL, Authority, run
from shim import Faults

DEVICES = int(os.environ.get("FAULTS_DEVICES", 3000))
KILLS = int(os.environ.get("FAULTS_KILLS", 26))
BACKUPS = int(os.environ.get("FAULTS_BACKUPS", 2))
CONNECTIONS = int(os.environ.get("FAULTS_CONNECTIONS", 64))
SEED = int(os.environ.get("FAULTS_SEED", time.time_ns() % 1000000))

# A commit writes data pages, syncs them, and writes a meta page.
IN_COMMIT = [(call, action) for call in ("write", "sync", "meta") for action in ("kill-before", "kill-half", "kill-after")
             if (call, action) != ("sync", "kill-half")]
KINDS = ["daemon", "all", "signer", "keeper", "tool", *IN_COMMIT]
# What the killed ones and their survivors have to say.
EXPECTED = ("event=signer.ended", "event=signer.lost", "event=signer.failed", "event=keeper.ended",
            "reason=signer.unavailable", "event=daemon.stopped", "the keeper process cannot be reached",
            "fix: scepd --check-config shows")


class Campaign(unittest.TestCase):

    def setUp(self):
        self.random = random.Random(SEED)
        self.a = Authority()
        self.addCleanup(self.a.close)
        self.faults = Faults(self.a.home)
        self.tool_faults = Faults(self.a.home, "tool-faults")
        self.killed = collections.Counter()
        self.backups = []

    def wait_for(self, what, doing, seconds=120):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, f"waited in vain: {doing}")
            time.sleep(0.005)

    # ---- killing ----

    def kill_in_commit(self, call, action):
        """Whichever commit comes then: of the daemon's committer, mostly.  False when the load ended before."""
        ends = len(self.supervisor.ends)
        self.faults.set(call, action, after=self.random.randrange(20 if call == "write" else 3))
        self.wait_for(lambda: len(self.supervisor.ends) > ends or not self.load.running(), f"{action} {call}")
        self.faults.clear()
        return len(self.supervisor.ends) > ends

    def kill_tool(self):
        """An administrator's command dies in its commit, with the lock of all writers held."""
        call, action = self.random.choice(IN_COMMIT)
        self.tool_faults.set(call, action, after=self.random.randrange(2))
        r = run(SCEPCTL, "-c", self.a.conf, "challenge", "new", "--count", "20", "--label", "tool", "-q", check=False,
                env=self.tool_faults.env)
        self.assertIn(r.returncode, (0, -9), r.stderr)
        return r.returncode == -9

    def kill_one(self, kind):
        if isinstance(kind, tuple):
            return self.kill_in_commit(*kind)
        if kind == "tool":
            return self.kill_tool()
        daemon, keepers, signers = self.supervisor.pids()
        victims = {"daemon": [daemon], "keeper": keepers, "signer": signers, "all": [daemon, *keepers, *signers]}[kind]
        ends = len(self.supervisor.ends)
        killed = [kill(pid) for pid in victims]
        if kind != "signer":
            self.wait_for(lambda: len(self.supervisor.ends) > ends or not any(killed), "the end of the daemon")
        return any(killed)

    def kill_all_along(self):
        """Spread over the load, so that in between devices get further."""
        kinds = [KINDS[i % len(KINDS)] for i in range(KILLS)]
        self.random.shuffle(kinds)
        for i, kind in enumerate(kinds):
            goal = i * DEVICES * 3 // 4 // KILLS
            while self.load.running():
                self.wait_for(lambda: self.load.acknowledged() > goal or not self.load.running(), "progress", 300)
                time.sleep(self.random.uniform(0, 0.05))
                if self.kill_one(kind):
                    self.killed[kind if isinstance(kind, str) else " ".join(kind)] += 1
                    break

    # ---- copies ----

    def back_up(self):
        for i in range(BACKUPS):
            goal = (i + 1) * DEVICES // (BACKUPS + 1)
            while self.load.acknowledged() < goal and self.load.running():
                time.sleep(0.02)
            names, ended = self.load.names(), len(self.supervisor.ends)
            file = os.path.join(self.a.home, f"backup-{i}.mdb")
            self.a.ctl("store", "backup", file, env=None, timeout=300)
            self.backups.append((file, names, self.load.running(), len(self.supervisor.ends) - ended))

    # ---- accounts ----

    def assert_accounts(self, accounts, serials):
        """`serials`: common name to serial, of everybody who must be there."""
        by_name = accounts.by_name()
        self.assertEqual(len(accounts.certs), len(by_name), "a device has two certificates")
        self.assertEqual(len({c["serial"] for c in accounts.certs}), len(accounts.certs), "a serial was repeated")
        missing = {name: serial for name, serial in serials.items() if by_name.get(name) != serial}
        self.assertEqual(missing, {}, "acknowledged, and not stored so")

        devices = [c for c in accounts.challenges if c.get("label") != "tool"]
        self.assertEqual(len(devices), DEVICES)
        used = {c["id"] for c in devices if c["state"] == "used"}
        self.assertTrue(all((c["state"], c["used"]) in (("used", "1 of 1"), ("active", "0 of 1")) for c in devices))
        self.assertEqual(used, {c["challenge"] for c in accounts.certs}, "a challenge burnt for nothing, or not at all")
        self.assertTrue(all(c["used"] == "0 of 1" for c in accounts.challenges if c.get("label") == "tool"))

        told = collections.Counter(e["object"].lower() for e in accounts.audit if e["event"] == "certificate.issued")
        self.assertEqual(told, collections.Counter(by_name.values()), "the audit log has another tale")
        self.assert_attempts(accounts)
        self.a.ctl("store", "verify", env=None, timeout=300)
        self.a.ctl("audit", "verify", env=None, timeout=300)

    def assert_attempts(self, accounts):
        """One attempt brought each certificate; all that name one later name the same; nobody was refused."""
        issued, again = collections.Counter(), set()
        for result, transaction, serial, challenge, status, reason in accounts.attempts:
            if result == "issued":
                issued[(transaction, serial.lower(), challenge)] += 1
            elif result == "repeated":
                again.add((transaction, serial.lower()))
            elif result in ("refused", "failed"):
                self.assertEqual((result, status), ("failed", "503"), reason)
        certs = {(c["transaction"], c["serial"].lower(), c["challenge"]) for c in accounts.certs}
        self.assertEqual(issued, collections.Counter(certs))
        self.assertLessEqual(again, {(transaction, serial) for transaction, serial, _ in certs})

    def assert_log(self):
        """Nothing is told but ends, and what could not be answered meanwhile."""
        with open(self.a.log_path, errors="replace") as f:
            odd = [line for line in f if ("level=error" in line or "level=warning" in line or "result=refused" in line
                                          or "event=" not in line) and not any(e in line for e in EXPECTED)]
        self.assertEqual(odd, [])

    def assert_restored(self, file, names, serials):
        """The copy knows everything that was acknowledged before it was begun, and a daemon goes on from there."""
        os.rename(os.path.join(self.a.home, "store"), os.path.join(self.a.home, "store.old"))
        self.a.ctl("store", "restore", file, "--yes", "--expect", "demo", env=None, timeout=300)
        self.assert_accounts(Accounts(self.a), {name: serials[name] for name in names})
        self.a.start()
        for name in ("new-1", "new-2"):
            self.a.ctl("client", "enrol", self.a.url + "/scep", "--subject", f"CN={name}", "--key",
                       os.path.join(self.a.home, name + ".key"), "--out", os.path.join(self.a.home, name + ".pem"),
                       "--challenge-file", "-", input=self.a.challenge() + "\n")
        self.assertEqual(self.a.stop(), 0)
        self.a.ctl("store", "verify")
        run("rm", "-r", os.path.join(self.a.home, "store"))
        os.rename(os.path.join(self.a.home, "store.old"), os.path.join(self.a.home, "store"))

    def test_killed_at_random(self):
        begun = time.monotonic()
        self.supervisor = Supervisor(self.a, self.faults.env)
        self.addCleanup(self.supervisor.close)
        self.a.process = self.supervisor.process
        self.a.wait_ready()
        self.a.process = None
        self.load = Load(self.a, DEVICES, CONNECTIONS, "--again")
        self.addCleanup(self.load.close)
        self.wait_for(lambda: self.load.acknowledged() > 0, "the first certificate", 600)
        copies = threading.Thread(target=self.back_up)
        copies.start()
        self.kill_all_along()
        (first, again), out = self.load.wait(900)
        copies.join(300)
        self.assertEqual(self.supervisor.stop(), 0)
        print(out, end="")
        self.assertEqual((first["issued"], again["issued"]), (str(DEVICES), str(DEVICES)))
        self.assertEqual(sum(self.killed.values()), KILLS, "the load ended before all were killed")
        ends = collections.Counter(self.supervisor.ends)
        self.assertLessEqual(set(ends), {-9, 1}, "ended otherwise than by kill -9 or for want of its keeper")
        self.assertLessEqual(ends[1], self.killed["keeper"])

        serials = self.load.serials()
        self.assertEqual(len(serials), DEVICES)
        self.assert_accounts(Accounts(self.a), serials)
        self.assert_log()
        self.assertEqual(len(self.backups), BACKUPS)
        for file, names, _, _ in self.backups:
            self.assertGreater(len(names), 0)
            self.assert_restored(file, names, serials)
        print(json.dumps({"seed": SEED, "devices": DEVICES, "kills": dict(self.killed), "daemon_ends": len(
            self.supervisor.ends), "retries": int(first["retries"]), "load_seconds": float(first["wall_s"]),
            "backups": [{"acknowledged": len(n), "under_load": u, "restarts_meanwhile": r}
                        for _, n, u, r in self.backups], "seconds": round(time.monotonic() - begun)}))


if __name__ == "__main__":
    print("seed", SEED, flush=True)
    unittest.main()
