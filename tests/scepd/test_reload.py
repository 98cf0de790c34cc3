"""SIGHUP: the configuration is read anew while the daemon serves on."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, SCEPCTL, Authority, free_port, run

SCEPLOAD = os.path.join(BUILD, "tests", "bench", "scepload")
UNDER_LOAD = 50
DEVICES = int(os.environ.get("SCEPD_TEST_DEVICES", "1500"))


def until(what, seconds=60):
    """Waits for something that happens in another process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    return what()


class Case(unittest.TestCase):
    failure = ""

    def setUp(self):
        self.a = Authority()
        self.addCleanup(self.a.close)
        with open(self.a.conf) as f:
            self.text = f.read()

    def write(self, text):
        """As an editor does it: never half a file."""
        with open(self.a.conf + ".new", "w") as f:
            f.write(text)
        os.rename(self.a.conf + ".new", self.a.conf)

    def edit(self, *pairs):
        text = self.text
        for old, new in pairs:
            self.assertIn(old, text)
            text = text.replace(old, new, 1)
        self.write(text)

    def __str__(self):
        return f"{super().__str__()}: {self.failure}"

    def count(self, event):
        return self.a.log_text().count(f"event={event} ")

    def hup(self):
        """Sends it and waits for what comes of it: the line that sums up."""
        before = self.count("daemon.reloaded"), self.count("daemon.reload_failed")
        self.a.process.send_signal(signal.SIGHUP)
        until(lambda: (self.count("daemon.reloaded"), self.count("daemon.reload_failed")) != before)
        after = self.count("daemon.reloaded"), self.count("daemon.reload_failed")
        self.assertEqual(sum(after), sum(before) + 1, self.a.log_text())
        self.failure = (self.lines("daemon.reload_failed") or [""])[-1]
        return after[0] > before[0]

    def lines(self, event):
        return [l for l in self.a.log_text().splitlines() if f"event={event} " in l]

    def status(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.a.port, timeout=20)
        try:
            c.request("GET", path + "?operation=GetCACaps")
            return c.getresponse().status
        finally:
            c.close()

    def challenge(self, name):
        """scepctl needs a good configuration for it."""
        challenge = os.path.join(self.a.home, name + ".challenge")
        with open(challenge, "w") as f:
            f.write(self.a.challenge("-q"))
        return challenge

    def enrol(self, name, challenge=None, path="/scep"):
        challenge = challenge or self.challenge(name)
        out = os.path.join(self.a.home, name + ".pem")
        run(SCEPCTL, "client", "enrol", self.a.url + path, "--subject", "CN=" + name, "--key",
            os.path.join(self.a.home, name + ".key"), "--out", out, "--challenge-file", challenge)
        return out

    def days(self, pem):
        """Length of a certificate's life, without the time it was backdated."""
        text = run("openssl", "x509", "-in", pem, "-noout", "-startdate", "-enddate").stdout
        begin, end = (run("date", "-d", line.partition("=")[2], "+%s").stdout for line in text.splitlines())
        return (int(end) - int(begin)) // 86400


class Reload(Case):
    def test_endpoints_and_templates_change(self):
        self.a.start()
        c = http.client.HTTPConnection("127.0.0.1", self.a.port, timeout=20)
        self.addCleanup(c.close)
        c.connect()
        kept = c.sock
        self.assertEqual(self.status("/scep/new"), 404)
        self.edit(('path = "/scep/static"', 'path = "/scep/new"'), ('validity = "365d"', 'validity = "100d"'))
        self.assertTrue(self.hup(), self)
        self.assertEqual((self.status("/scep/new"), self.status("/scep/static"), self.status("/scep")), (200, 404, 200))
        self.assertIn(self.days(self.enrol("device")), (100, 99))
        c.request("GET", "/scep/new?operation=GetCACaps") # on the connection of before
        self.assertEqual(c.getresponse().status, 200)
        self.assertIs(c.sock, kept)
        (line,) = self.lines("daemon.reloaded")
        self.assertRegex(line, r"level=notice event=daemon.reloaded endpoints=5 templates=1 authorities=1 workers=\d+ "
                               r"signer=\d+ msg=")
        self.assertIn(self.a.conf, line)
        self.assertEqual(self.a.stop(), 0)

    def test_mistakes_leave_everything_as_it_was(self):
        self.a.start()
        challenge = self.challenge("device")
        signer = re.search(r"signer=(\d+)", self.a.log_text()).group(1)
        self.edit(("max_connections", "max_conections"), ('path = "/scep/static"', 'surprise = 1; path = "/scep/new"'))
        self.assertFalse(self.hup())
        self.assertEqual(len(self.lines("config.mistake")), 2)
        for part in ("max_conections", "surprise"):
            self.assertTrue(any(part in l for l in self.lines("config.mistake")), part)
        (line,) = self.lines("daemon.reload_failed")
        self.assertIn("2 problems in " + self.a.conf, line)
        self.assertIn("level=error", line)
        os.kill(int(signer), 0)
        self.assertEqual((self.status("/scep/static"), self.status("/scep/new")), (200, 404))
        self.enrol("device", challenge)
        self.edit()
        self.assertTrue(self.hup(), self)
        self.assertEqual(self.a.stop(), 0)

    def test_no_configuration_any_more(self):
        self.a.start()
        os.rename(self.a.conf, self.a.conf + ".away")
        self.assertFalse(self.hup())
        self.assertIn(self.a.conf, self.lines("config.mistake")[0])
        self.assertEqual(self.status("/scep"), 200)
        os.rename(self.a.conf + ".away", self.a.conf)
        self.assertEqual(self.a.stop(), 0)

    def test_keys_that_do_not_fit(self):
        self.a.start()
        self.edit(('ra_key = "keys/ra.key"', 'ra_key = "keys/ca.key"'))
        self.assertFalse(self.hup())
        self.assertIn("ca.key", self.lines("daemon.reload_failed")[0])
        self.enrol("device")
        self.assertEqual(self.a.stop(), 0)

    def test_what_cannot_change_is_told_and_stays(self):
        self.a.start()
        challenge = self.challenge("device")
        port = free_port()
        self.edit((f"port = {self.a.port}", f"port = {port}"), ('path = "store"', 'path = "other"; map_size_gib = 32'))
        self.assertTrue(self.hup(), self)
        self.assertEqual([re.search(r"setting=(\S+) old=(\S+) new=(\S+) ", l).groups() for l in self.lines("config.stays")],
                         [("listen.port", str(self.a.port), str(port)),
                          ("store.path", os.path.join(self.a.home, "store"), os.path.join(self.a.home, "other")),
                          ("store.map_size_gib", "64", "32")])
        self.assertTrue(all("level=warning" in l for l in self.lines("config.stays")))
        self.enrol("device", challenge)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        self.edit()
        self.assertTrue(self.hup(), self)
        self.assertEqual(self.count("config.stays"), 3) # it is what it was at the start
        self.assertEqual(len(self.a.json("cert", "list")), 1)
        self.assertEqual(self.a.stop(), 0)

    def test_log_workers_and_limits(self):
        self.a.start()
        workers = int(re.search(r"workers=(\d+)", self.a.log_text()).group(1))
        self.edit(('level = "info"', 'level = "notice"'), ("listen: {", "listen: { max_body = 4096;"),
                  ("workers = 0", f"workers = {workers + 3}"))
        self.assertTrue(self.hup(), self)
        self.assertIn(f"workers={workers + 3} ", self.lines("daemon.reloaded")[0])
        before = self.count("http.answered")
        self.assertEqual(self.status("/scep"), 200)
        c = http.client.HTTPConnection("127.0.0.1", self.a.port, timeout=20)
        self.addCleanup(c.close)
        c.request("POST", "/scep", body=b"x" * 5000)
        self.assertEqual(c.getresponse().status, 413)
        self.assertEqual(self.count("http.answered"), before)
        with open(f"/proc/{self.a.process.pid}/stat") as f:
            threads = int(f.read().rpartition(")")[2].split()[17])
        # loop, errands, workers, committer, upkeep; those of the old service may still be on their way out
        self.assertGreaterEqual(threads, workers + 3 + 4)
        self.assertEqual(self.a.stop(), 0)

    def test_json_from_now_on(self):
        self.a.start()
        self.edit(('format = "logfmt"', 'format = "json"'))
        self.a.process.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: '"event":"daemon.reloaded"' in self.a.log_text()))
        self.assertEqual(self.a.stop(), 0)

    def test_listen_option_stays(self):
        port = free_port()
        self.a.url = f"http://127.0.0.1:{port}"
        self.a.log = open(self.a.log_path, "ab")
        self.a.process = subprocess.Popen([os.path.join(BUILD, "scepd", "scepd"), "-c", self.a.conf, "--listen", f"127.0.0.1:{port}"],
                                          stdout=self.a.log, stderr=self.a.log)
        self.a.wait_ready()
        self.assertTrue(self.hup(), self)
        self.assertEqual(self.count("config.stays"), 0)
        self.a.wait_ready()
        self.assertEqual(self.a.stop(), 0)

    def test_many_signals_at_once(self):
        """The last one counts: what stood in the file then is served in the end."""
        self.a.start()
        for i in range(1, 30):
            self.edit(('path = "/scep/static"', f'path = "/scep/new{i}"'))
            self.a.process.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: self.status("/scep/new29") == 200))
        # Signals that come while one waits are one signal: once may be enough for all.
        self.assertTrue(until(lambda: self.count("daemon.reloaded") >= 1))
        self.assertEqual(self.count("daemon.reload_failed"), 0)
        self.assertEqual(self.a.stop(), 0)

    def test_ended_in_the_middle(self):
        self.a.start()
        for _ in range(3):
            self.a.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.a.stop(), 0)
        self.a.start()
        self.enrol("device")
        self.assertEqual(self.a.stop(), 0)

    def test_a_signer_that_died_meanwhile(self):
        self.a.start()
        os.kill(int(re.search(r"signer=(\d+)", self.a.log_text()).group(1)), signal.SIGKILL)
        self.assertTrue(self.hup(), self)
        self.enrol("device")
        self.assertEqual(self.a.stop(), 0)


class UnderLoad(Case):
    """Clients that keep their connections enrol while the configuration changes again and again."""

    def fire(self, *args):
        challenges = os.path.join(self.a.home, "challenges")
        with open(challenges, "w") as f:
            f.write(self.a.ctl("challenge", "new", "--count", DEVICES, "--expires", "1d", "-q").stdout)
        start = os.path.join(self.a.home, "fires")
        load = subprocess.Popen([SCEPLOAD, "--port", str(self.a.port), "-n", str(DEVICES), "--connections", "16",
                                 "--challenges", challenges, "--start-file", start, *args], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        self.addCleanup(load.stdout.close)
        self.addCleanup(load.kill)
        until(lambda: os.path.exists(start) or load.poll() is not None, 300)
        return load

    def fired(self, load):
        out, _ = load.communicate(timeout=600)
        self.assertEqual(load.returncode, 0, out)
        return dict(word.split("=", 1) for word in out.split() if "=" in word)

    def assert_one_certificate_each(self):
        certs = self.a.json("cert", "list", "--limit", 0)
        self.assertEqual(len(certs), DEVICES)
        self.assertEqual(len({c["subject"] for c in certs}), DEVICES)
        self.a.ctl("store", "verify")
        return certs

    def test_a_signer_killed_again_and_again(self):
        """503 for what was on its way, and nothing is lost or doubled."""
        self.a.start()
        load = self.fire("--retry", "120")
        killed = set()
        while load.poll() is None and len(killed) < 3:
            signer = int(re.findall(r"event=(?:daemon|signer)\.\w+ .*\bsigner=(\d+)", self.a.log_text())[-1])
            if signer in killed or self.a.log_text().count("result=issued") < (len(killed) + 1) * DEVICES // 6:
                time.sleep(0.02)
                continue
            killed.add(signer)
            os.kill(signer, signal.SIGKILL)
            until(lambda: self.count("signer.started") >= len(killed))
        said = self.fired(load)
        self.assertEqual(said["issued"], str(DEVICES))
        self.assertGreaterEqual(len(killed), 2)
        self.assertEqual(self.a.stop(), 0)
        self.assert_one_certificate_each()

    def test_nobody_notices(self):
        self.a.start()
        load = self.fire()
        lives = ("100d", "200d")
        c = http.client.HTTPConnection("127.0.0.1", self.a.port, timeout=20)
        self.addCleanup(c.close)
        c.connect()
        kept, during = c.sock, 0
        for i in range(UNDER_LOAD):
            self.edit(('validity = "365d"', f'validity = "{lives[i % 2]}"'),
                      ('path = "/scep/static";', f'path = "/scep/static"; renewal = {("true", "false")[i % 2]};'),
                      ('path = "/scep/manual"', f'path = "/scep/manual{i % 3}"'))
            self.assertTrue(self.hup(), self)
            during += load.poll() is None
            c.request("GET", "/scep/static?operation=GetCACaps")
            caps = c.getresponse().read()
            self.assertEqual(b"Renewal\n" in caps, i % 2 == 0)
            self.assertIs(c.sock, kept)
            c.request("GET", f"/scep/manual{i % 3}?operation=GetCACaps")
            r = c.getresponse()
            r.read()
            self.assertEqual(r.status, 200)
        said = self.fired(load)
        self.assertEqual((said["issued"], said["retries"]), (str(DEVICES), "0"), said)
        self.assertGreater(during, 5)
        certs = self.assert_one_certificate_each()
        self.assertEqual(self.a.stop(), 0)
        errors = [l for l in self.a.log_text().splitlines() if "level=error" in l or "level=warning" in l]
        self.assertEqual(errors, [])
        # each as one of the configurations had it
        lengths = set()
        for cert in certs[:: max(1, DEVICES // 60)]:
            pem = os.path.join(self.a.home, "one.pem")
            with open(pem, "w") as f:
                f.write(self.a.ctl("cert", "export", cert["serial"]).stdout)
            lengths.add(self.days(pem))
        self.assertLessEqual(lengths, {100, 200, 365})
        self.assertGreater(len(lengths), 1)


if __name__ == "__main__":
    unittest.main()
