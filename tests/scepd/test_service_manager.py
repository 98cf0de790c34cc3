"""Under a service manager: what it is told, the socket it hands over, and the unit file with its restrictions."""

import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, need, run

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
UNIT = os.path.join(TOP, "conf", "scepd.service")
UNDER = os.path.join(TOP, "tests", "support", "under_unit.py")
HIGHEST_EXPOSURE = 1.5


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    return what()


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.told = []

    def hear(self, seconds=0.0):
        while select.select([self.socket], [], [], seconds)[0]:
            self.told.append(self.socket.recv(4096).decode())
            seconds = 0

    def wait_for(self, text, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.hear(0.1)
            if any(text in t for t in self.told):
                return True
        return False

    def index(self, text):
        return next(i for i, t in enumerate(self.told) if text in t)


class Case(unittest.TestCase):
    def setUp(self):
        self.a = Authority()
        self.addCleanup(self.a.close)
        self.manager = Manager(self.a.home)
        self.addCleanup(self.manager.socket.close)

    def start(self, *before, program=SCEPD, **more):
        self.a.log = open(self.a.log_path, "ab")
        self.a.process = subprocess.Popen([*before, program, "-c", self.a.conf], stdout=self.a.log, stderr=self.a.log,
                                          env=dict(os.environ, NOTIFY_SOCKET=self.manager.path, **more))
        self.a.wait_ready()

    def enrol(self, name, url=None, check=True):
        challenge = os.path.join(self.a.home, name + ".challenge")
        with open(challenge, "w") as f:
            f.write(self.a.challenge("-q"))
        return run(SCEPCTL, "client", "enrol", (url or self.a.url) + "/scep", "--subject", "CN=" + name, "--key",
                   os.path.join(self.a.home, name + ".key"), "--out", os.path.join(self.a.home, name + ".pem"),
                   "--challenge-file", challenge, check=check)


class Told(Case):
    def test_ready_status_stopping(self):
        self.start()
        self.assertTrue(self.manager.wait_for("READY=1"))
        self.assertTrue(self.manager.wait_for("STATUS=0 active, 0 pending, queue 0/512"), self.manager.told)
        self.enrol("device")
        self.assertTrue(self.manager.wait_for("STATUS=1 active, 0 pending, queue 0/512"), self.manager.told)
        self.assertEqual(self.a.stop(), 0)
        self.manager.hear()
        self.assertIn("STOPPING=1", self.manager.told)
        self.assertLess(self.manager.index("READY=1"), self.manager.index("STOPPING=1"))
        self.assertFalse(any("WATCHDOG" in t for t in self.manager.told)) # nobody asked

    def reload(self):
        self.manager.hear()
        self.manager.told.clear()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.a.process.send_signal(signal.SIGHUP)
        self.assertTrue(self.manager.wait_for("READY=1"))
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        told = [t for t in self.manager.told if "STATUS" not in t]
        self.assertEqual(len(told), 2, told)
        at = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", told[0])
        self.assertTrue(at, told)
        self.assertTrue(before <= int(at.group(1)) <= after)
        self.assertEqual(told[1], "READY=1")

    def test_reloading(self):
        self.start()
        self.reload()
        with open(self.a.conf, "a") as f:
            f.write("surprise = 1;\n") # it is ready again also with what it had
        self.reload()
        self.assertIn("event=daemon.reload_failed", self.a.log_text())
        self.assertEqual(self.a.stop(), 0)

    def test_watchdog_hears_only_of_progress(self):
        self.start(WATCHDOG_USEC="4000000")
        self.assertTrue(self.manager.wait_for("WATCHDOG=1"))
        signer = int(re.search(r"signer=(\d+)", self.a.log_text()).group(1))
        os.kill(signer, signal.SIGSTOP)
        hanging = [subprocess.Popen([SCEPCTL, "client", "enrol", self.a.url + "/scep/static", "--subject", "CN=slow", "--key",
                                     os.path.join(self.a.home, "slow.key"), "--out", os.path.join(self.a.home, "slow.pem"),
                                     "--challenge-file", os.path.join(self.a.home, "keys", "static-challenge")],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
        try:
            def silent():
                self.manager.hear()
                self.manager.told.clear()
                time.sleep(2.5) # more than two signs of life, if it gave any
                self.manager.hear()
                return not any("WATCHDOG=1" in t for t in self.manager.told)
            self.assertTrue(until(silent, 60), "a worker hangs, and nobody is told")
            self.assertEqual(self.a.get("/scep?operation=GetCACaps")[:3], b"AES") # the loop does not
        finally:
            os.kill(signer, signal.SIGCONT)
        self.manager.told.clear()
        self.assertTrue(self.manager.wait_for("WATCHDOG=1"))
        self.assertEqual(hanging[0].wait(60), 0)
        self.assertEqual(self.a.stop(), 0)


class Sockets(Case):
    """LISTEN_FDS, as systemd hands sockets over."""

    def run_with(self, sockets, names):
        # descriptors from 3 on, and the process id that exec keeps
        script = "".join(f" {3 + i}<&{6 + i}" for i in range(len(sockets)))
        self.a.log = open(self.a.log_path, "ab")

        def place():
            for i, s in enumerate(sockets):
                os.dup2(s.fileno(), 6 + i)

        self.a.process = subprocess.Popen(
            ["sh", "-c", f'LISTEN_PID=$$ exec "$0" -c "$1"{script}', SCEPD, self.a.conf], stdout=self.a.log, stderr=self.a.log,
            preexec_fn=place, close_fds=False, env=dict(os.environ, LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names,
                                                         NOTIFY_SOCKET=self.manager.path))

    def listening(self, port=0):
        s = socket.socket()
        self.addCleanup(s.close)
        s.bind(("127.0.0.1", port))
        s.listen()
        return s

    def test_a_socket_is_taken_over(self):
        s = self.listening()
        self.a.url = f"http://127.0.0.1:{s.getsockname()[1]}"
        self.run_with([s], "scepd")
        self.a.wait_ready()
        self.enrol("device")
        with self.assertRaises(ConnectionRefusedError): # where the configuration says
            socket.create_connection(("127.0.0.1", self.a.port))
        self.assertIn(f":{s.getsockname()[1]} ", self.a.log_text())
        self.assertEqual(self.a.stop(), 0)

    def refused(self, sockets, names, part):
        self.run_with(sockets, names)
        self.assertEqual(self.a.process.wait(30), 1)
        self.a.process = None
        self.assertIn(part, self.a.log_text())

    def test_another_name(self):
        self.refused([self.listening()], "web", '"web"')

    def test_no_listening_socket(self):
        s = socket.socket()
        self.addCleanup(s.close)
        self.refused([s], "scepd", "no listening TCP socket")

    def test_not_two(self):
        self.refused([self.listening(), self.listening()], "scepd:scepd", "several sockets")


class Unit(Case):
    def test_exposure(self):
        need("systemd-analyze")
        out = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT).stdout
        exposure = float(re.search(r"Overall exposure level for scepd.service: ([\d.]+)", out).group(1))
        self.assertLessEqual(exposure, HIGHEST_EXPOSURE, out)
        with open(os.path.join(TOP, "docs", "scepd.8")) as f:
            self.assertIn(f"rates the unit {exposure}", f.read().replace("\n", " "))

    def test_files_are_understood(self):
        """Unknown directives are warnings of systemd-analyze; what is not installed on this machine is not the file's fault."""
        directory = os.path.join(self.a.home, "units")
        os.mkdir(directory)
        for name in ("scepd.service", "scepd.socket"):
            with open(os.path.join(TOP, "conf", name)) as f:
                text = f.read().replace("/usr/sbin/scepd", os.path.abspath(SCEPD))
            with open(os.path.join(directory, name), "w") as f:
                f.write(text)
        r = run("systemd-analyze", "verify", "--man=no", *(os.path.join(directory, n) for n in os.listdir(directory)), check=False)
        told = [l for l in (r.stdout + r.stderr).splitlines() if "scepd." in l]
        self.assertEqual(told, [])
        self.assertEqual(run("systemd-sysusers", "--dry-run", os.path.join(TOP, "conf", "scepd.sysusers"), check=False).returncode, 0)

    def test_what_the_next_test_covers(self):
        """Everything of the unit is applied there but what needs mount namespaces, cgroups or PID 1."""
        out = run("/usr/bin/python3", UNDER, UNIT, "--list").stdout.split("\n")
        left = {line.split()[1] for line in out if line.startswith("not ")}
        self.assertEqual(left, {
            "StateDirectory", "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "ConfigurationDirectory",
            "ConfigurationDirectoryMode", "TasksMax", "ProtectSystem", "ProtectHome", "ProtectProc", "ProcSubset", "ProtectClock",
            "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
            "PrivateTmp", "PrivateDevices", "PrivateUsers", "PrivateMounts", "DevicePolicy", "RemoveIPC", "KeyringMode",
            "RestartPreventExitStatus"})

    def test_an_enrolment_under_its_restrictions(self):
        user = []
        # Where that user may go: a checkout may stand in a directory of its owner's alone (mktemp -d).
        program = shutil.copy(SCEPD, os.path.join(self.a.home, "scepd"))
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            run("chown", "-R", f"nobody:{nobody.pw_gid}", self.a.home)
            user = ["--user", "nobody"]
        # A search for leaks, in a build that makes one, needs ptrace, which the unit forbids.
        asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "detect_leaks=0")))
        self.start("/usr/bin/python3", UNDER, UNIT, *user, "--", program=program, ASAN_OPTIONS=asan)
        self.assertTrue(self.manager.wait_for("READY=1"))
        with open(f"/proc/{self.a.process.pid}/status") as f:
            status = f.read()
        self.assertRegex(status, r"(?m)^NoNewPrivs:\s+1$")
        self.assertRegex(status, r"(?m)^Seccomp:\s+2$")
        self.assertRegex(status, r"(?m)^CapEff:\s+0+$")
        self.enrol("device")
        self.assertEqual(self.a.get("/crl/demo.crl")[:1], b"\x30")
        # a reload and another signer need fork and files under the same filter
        self.a.process.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: "event=daemon.reloaded" in self.a.log_text()), self.a.log_text())
        os.kill(int(re.findall(r"signer=(\d+)", self.a.log_text())[-1]), signal.SIGKILL)
        self.assertTrue(until(lambda: "event=signer.started" in self.a.log_text()), self.a.log_text())
        self.enrol("other")
        serial = self.a.json("cert", "list")[0]["serial"]
        self.a.ctl("cert", "revoke", serial, "--reason", "key-compromise", "--yes")
        self.assertEqual(self.a.stop(), 0)


if __name__ == "__main__":
    unittest.main()
