"""Nothing lost and nothing doubled, whatever is killed: the campaign.

Devices with one-time challenges enrol and do not give up, while the daemon, each of its other processes and administrators'
commands are killed with -9 at random moments, and inside the commit: before, in and after each of its writes and syncs.
One in five has a challenge of a policy, bound to the device, at an endpoint whose webhooks are asked before and told after;
the server elsewhere fails now and then, too.  An administrator makes challenges by the API.  Meanwhile the running store is
copied.  In the end the accounts must agree, those of the restored copy too, and each certificate of that endpoint was told.

FAULTS_DEVICES, FAULTS_KILLS, FAULTS_BACKUPS and FAULTS_CONNECTIONS make it longer; FAULTS_SEED repeats the choices."""

import collections
import csv
import json
import os
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.dirname(__file__))
from campaign import Accounts, Administrator, Load, StandIn, Supervisor, kill
from harness import SCEPCTL, Authority, free_port, run
from shim import Faults

DEVICES = int(os.environ.get("FAULTS_DEVICES", 3000))
KILLS = int(os.environ.get("FAULTS_KILLS", 30))
BACKUPS = int(os.environ.get("FAULTS_BACKUPS", 2))
MANAGED = DEVICES // 5  # of a policy
CONNECTIONS = int(os.environ.get("FAULTS_CONNECTIONS", 64))
SEED = int(os.environ.get("FAULTS_SEED", time.time_ns() % 1000000))

# A commit writes data pages, syncs them, and writes a meta page.
IN_COMMIT = [(call, action) for call in ("write", "sync", "meta") for action in ("kill-before", "kill-half", "kill-after")
             if (call, action) != ("sync", "kill-half")]
KINDS = ["daemon", "all", "signer", "keeper", "outsider", "outside", "tool", *IN_COMMIT]
ONLY_THIS = ("signer", "outside")  # after whose end the daemon goes on
# What the killed ones and their survivors have to say.
EXPECTED = ("event=signer.ended", "event=signer.lost", "event=signer.failed", "event=keeper.ended",
            "reason=signer.unavailable", "event=daemon.stopped", "the keeper process cannot be reached",
            "fix: scepd --check-config shows", "event=outside.ended", "event=outsider.ended", "event=outside.failed",
            "event=webhook.answer", "event=webhook.notice", "reason=webhook.unreachable",
            "event=log.dropped")  # a hundred devices a second are told that no signer is there


class Campaign(unittest.TestCase):

    def setUp(self):
        self.random = random.Random(SEED)
        self.elsewhere = StandIn(SEED)
        self.addCleanup(self.elsewhere.close)
        self.api_port = free_port()
        self.a = Authority(init_args=("--api-port", self.api_port), edit=self.edit)
        self.addCleanup(self.a.close)
        self.faults = Faults(self.a.home)
        self.tool_faults = Faults(self.a.home, "tool-faults")
        self.killed = collections.Counter()
        self.backups = []

    def edit(self, text):
        """An endpoint that asks before and tells after."""
        return text.replace("endpoints = (", f'''webhooks = (
            {{ name = "inventory"; url = "{self.elsewhere.url}/ask"; remember = "0s"; }},
            {{ name = "mdm"; kind = "notify"; url = "{self.elsewhere.url}/tell"; }}
        );
        endpoints = (
            {{ path = "/managed"; authority = "demo"; template = "device"; challenge = "one-time"; validate = "inventory";
               notify = ["mdm"]; }},''', 1)

    # ---- devices ----

    def import_devices(self):
        """Those of a policy, by the names that the load gives them: their challenges, and their ids by name."""
        self.a.ctl("policy", "new", "fleet", "--subject", "CN=%devicename%", "--endpoint", "/managed", "--expires", "1d")
        fleet, given = (os.path.join(self.a.home, name) for name in ("fleet.csv", "given.csv"))
        with open(fleet, "w") as f:
            f.writelines(["name\n", *(f"managed-{i:06d}\n" for i in range(MANAGED))])
        self.a.ctl("device", "import", fleet, "--policy", "fleet", "--challenges", given, timeout=600)
        with open(given, newline="") as f:
            rows = list(csv.DictReader(f))
        self.devices = {r["name"]: r["device"] for r in rows}
        self.policy = self.a.json("policy", "list")[0]["id"]
        return [r["challenge"] for r in rows]

    def begin_load(self):
        """Both kinds at once, when all is prepared."""
        def managed():
            self.loads.append(Load(self.a, MANAGED, max(CONNECTIONS // 4, 1), "--path", "/managed", "--again", prefix="managed",
                                   given=given))
        given, self.loads = self.import_devices(), []
        self.addCleanup(lambda: [load.close() for load in self.loads])
        self.loads.append(Load(self.a, DEVICES - MANAGED, CONNECTIONS, "--again", before=managed))
        self.a.ctl("admin", "new", "boss", "--role", "operator")
        token = self.a.ctl("admin", "token", "new", "boss", "-q").stdout.strip()
        self.administrator = Administrator(self.api_port, token)
        self.administrator.start()
        self.addCleanup(self.administrator.close)

    def running(self):
        return any(load.running() for load in self.loads)

    def acknowledged(self):
        return sum(load.acknowledged() for load in self.loads)

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
        self.wait_for(lambda: len(self.supervisor.ends) > ends or not self.running(), f"{action} {call}")
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
        pids = self.supervisor.pids()
        victims = sum(pids.values(), []) if kind == "all" else pids[kind]
        ends = len(self.supervisor.ends)
        killed = [kill(pid) for pid in victims]
        if kind not in ONLY_THIS:
            self.wait_for(lambda: len(self.supervisor.ends) > ends or not any(killed), "the end of the daemon")
        return any(killed)

    def kill_all_along(self):
        """Spread over the load, so that in between devices get further."""
        kinds = [KINDS[i % len(KINDS)] for i in range(KILLS)]
        self.random.shuffle(kinds)
        for i, kind in enumerate(kinds):
            goal = i * DEVICES * 3 // 4 // KILLS
            while self.running():
                self.wait_for(lambda: self.acknowledged() > goal or not self.running(), "progress", 300)
                time.sleep(self.random.uniform(0, 0.05))
                if self.kill_one(kind):
                    self.killed[kind if isinstance(kind, str) else " ".join(kind)] += 1
                    break

    # ---- copies ----

    def back_up(self):
        for i in range(BACKUPS):
            goal = (i + 1) * DEVICES // (BACKUPS + 1)
            while self.acknowledged() < goal and self.running():
                time.sleep(0.02)
            names, ended = [name for load in self.loads for name in load.names()], len(self.supervisor.ends)
            made = dict(self.administrator.made)
            file = os.path.join(self.a.home, f"backup-{i}.mdb")
            self.a.ctl("store", "backup", file, env=None, timeout=300)
            self.backups.append((file, names, made, self.running(), len(self.supervisor.ends) - ended))

    # ---- accounts ----

    def assert_accounts(self, accounts, serials, made):
        """`serials`: common name to serial, of everybody who must be there; `made`: label to id, of challenges of the API."""
        by_name = accounts.by_name()
        self.assertEqual(len(accounts.certs), len(by_name), "a device has two certificates")
        self.assertEqual(len({c["serial"] for c in accounts.certs}), len(accounts.certs), "a serial was repeated")
        missing = {name: serial for name, serial in serials.items() if by_name.get(name) != serial}
        self.assertEqual(missing, {}, "acknowledged, and not stored so")

        devices, others = [], []
        for c in accounts.challenges:
            (others if (c["label"] or "").startswith(("tool", "api-")) else devices).append(c)
        self.assertEqual(len(devices), DEVICES)
        used = {c["id"] for c in devices if c["state"] == "used"}
        self.assertTrue(all((c["state"], c["used"]) in (("used", "1 of 1"), ("active", "0 of 1")) for c in devices))
        self.assertEqual(used, {c["challenge"] for c in accounts.certs}, "a challenge burnt for nothing, or not at all")
        self.assertEqual({c["used"] for c in others} - {"0 of 1"}, set())
        self.assert_managed(accounts)
        self.assert_administrator(others, made)

        told = collections.Counter(e["object"].lower() for e in accounts.audit if e["event"] == "certificate.issued")
        self.assertEqual(told, collections.Counter(by_name.values()), "the audit log has another tale")
        self.assert_attempts(accounts)
        self.a.ctl("store", "verify", env=None, timeout=300)
        self.a.ctl("audit", "verify", env=None, timeout=300)

    def assert_managed(self, accounts):
        """A device of a policy has the certificate that was meant for it, by its own challenge; nobody else is of a policy."""
        meant = {c["id"]: c["device"] for c in accounts.challenges if c["device"]}
        self.assertEqual(sorted(meant.values()), sorted(self.devices.values()))
        for c in accounts.certs:
            device = self.devices.get(c["subject"].removeprefix("CN="), "")
            self.assertEqual((c["device"], c["policy"], meant.get(c["challenge"], "")), (device, device and self.policy, device))

    def assert_administrator(self, others, made):
        """What the API acknowledged is there, and nothing was done twice."""
        held = collections.Counter(c["label"] for c in others if c["label"] != "tool")
        self.assertEqual([label for label, n in held.items() if n > 1], [])
        ids = {c["label"]: c["id"] for c in others}
        self.assertEqual({label: id for label, id in made.items() if ids.get(label) != id}, {})

    def assert_told(self, serials):
        """Each certificate of the endpoint at least once, always by the same notice, and nothing of any other."""
        wanted = {serial: name for name, serial in serials.items() if name in self.devices}
        self.wait_for(lambda: wanted.keys() <= self.elsewhere.told.keys(), "the notices", 600)
        self.assertEqual(self.elsewhere.told.keys() - wanted.keys(), set())
        challenges = {c["serial"].lower(): c["challenge"] for c in self.a.json("cert", "list", "--limit", 0, "--policy", "fleet")}
        for serial, notices in self.elsewhere.told.items():
            (_, *about), = notices  # the same id each time
            self.assertEqual(about, ["issued", self.devices[wanted[serial]], self.policy, challenges[serial]])
        self.assertGreaterEqual(len(self.elsewhere.asked_about), MANAGED)

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

    def assert_restored(self, file, names, made, serials):
        """The copy knows everything that was acknowledged before it was begun, and a daemon goes on from there."""
        os.rename(os.path.join(self.a.home, "store"), os.path.join(self.a.home, "store.old"))
        self.a.ctl("store", "restore", file, "--yes", "--expect", "demo", env=None, timeout=300)
        self.assert_accounts(Accounts(self.a), {name: serials[name] for name in names}, made)
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
        self.begin_load()
        self.wait_for(lambda: self.acknowledged() > 0, "the first certificate", 600)
        copies = threading.Thread(target=self.back_up)
        copies.start()
        self.kill_all_along()
        told = [load.wait(900) for load in self.loads]
        copies.join(300)
        self.administrator.close()
        serials = {name: serial for load in self.loads for name, serial in load.serials().items()}
        self.assert_told(serials)
        self.assertEqual(self.supervisor.stop(), 0)
        for (first, again), out in told:
            print(out, end="")
            self.assertEqual((first["issued"], again["issued"]), (first["n"], first["n"]))
        self.assertEqual(sum(self.killed.values()), KILLS, "the load ended before all were killed")
        ends = collections.Counter(self.supervisor.ends)
        self.assertLessEqual(set(ends), {-9, 1}, "ended otherwise than by kill -9 or for want of its keeper")
        # without its first signer it does not start
        self.assertLessEqual(ends[1], sum(self.killed[kind] for kind in ("keeper", "outsider", "signer")))

        self.assertEqual(len(serials), DEVICES)
        self.assertEqual(self.administrator.odd, [])
        self.assertGreater(len(self.administrator.made), self.administrator.unknown)
        self.assert_accounts(Accounts(self.a), serials, self.administrator.made)
        self.assert_log()
        self.assertEqual(len(self.backups), BACKUPS)
        for file, names, made, _, _ in self.backups:
            self.assertGreater(len(names), 0)
            self.assert_restored(file, names, made, serials)
        print(json.dumps({"seed": SEED, "devices": DEVICES, "kills": dict(self.killed), "daemon_ends": len(
            self.supervisor.ends), "retries": sum(int(first["retries"]) for (first, _), _ in told),
            "load_seconds": max(float(first["wall_s"]) for (first, _), _ in told),
            "managed": MANAGED, "notices": sum(sum(n.values()) for n in self.elsewhere.told.values()),
            "questions": sum(self.elsewhere.asked_about.values()), "api": {
                "made": len(self.administrator.made), "unknown": self.administrator.unknown, "tries": self.administrator.tries},
            "backups": [{"acknowledged": len(n), "api": len(m), "under_load": u, "restarts_meanwhile": r}
                        for _, n, m, u, r in self.backups], "seconds": round(time.monotonic() - begun)}))


if __name__ == "__main__":
    print("seed", SEED, flush=True)
    unittest.main()
