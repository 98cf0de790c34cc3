"""The daemon from outside: its start, its end, what it says, and that it notices what scepctl does."""

import fcntl
import http.client
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, free_port, run

FAILED, USAGE, PROBLEMS = 1, 2, 7


def until(what, seconds=20):
    """Waits for something that happens in another process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    return what()


def scepd(*args):
    return run(SCEPD, *args, check=False)


class Case(unittest.TestCase):
    def authority(self, edit=None):
        a = Authority(edit=edit)
        self.addCleanup(a.close)
        return a

    def connection(self, a):
        c = http.client.HTTPConnection("127.0.0.1", a.port, timeout=20)
        self.addCleanup(c.close)
        return c

    def new_challenge(self, a, name):
        challenge = os.path.join(a.home, name + ".challenge")
        with open(challenge, "w") as f:
            f.write(a.challenge("-q"))
        return challenge

    def enrol(self, a, name, challenge=None, **more):
        challenge = challenge or self.new_challenge(a, name)
        return run(SCEPCTL, "client", "enrol", a.url + "/scep", "--subject", "CN=" + name, "--key",
                   os.path.join(a.home, name + ".key"), "--out", os.path.join(a.home, name + ".pem"),
                   "--challenge-file", challenge, **more)

    def revoked(self, a):
        return run("openssl", "crl", "-in", a.crl(), "-noout", "-text").stdout.count("Serial Number:")


class Life(Case):
    def test_started_with_nothing_open(self):
        """0, 1 and 2 closed, as some that start daemons do it: nothing of ours gets such a number, and lines about it."""
        a = self.authority()
        a.log = open(a.log_path, "ab")
        for closed in ([2], [0, 1, 2]):
            a.process = subprocess.Popen([SCEPD, "-c", a.conf], stdin=subprocess.DEVNULL, stdout=a.log, stderr=a.log,
                                         preexec_fn=lambda: [os.close(fd) for fd in closed])
            a.wait_ready()
            self.assertEqual([os.readlink(f"/proc/{a.process.pid}/fd/{fd}") for fd in closed], ["/dev/null"] * len(closed))
            self.enrol(a, f"device-{len(closed)}")
            a.process.terminate()
            self.assertEqual(a.process.wait(30), 0)
            a.process = None
        self.assertEqual(a.log_text(), "")
        a.ctl("store", "verify")

    def start_after(self, a, preparation):
        """Starts it as somebody would who did `preparation` before."""
        a.log = open(a.log_path, "ab")
        a.process = subprocess.Popen([SCEPD, "-c", a.conf], stdout=a.log, stderr=a.log, preexec_fn=preparation)
        a.wait_ready()

    def test_started_with_signals_blocked(self):
        a = self.authority()
        self.start_after(a, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()))
        self.enrol(a, "device")
        signer = int(re.findall(r"event=daemon\.started .*\bsigner=(\d+)", a.log_text())[-1])
        os.kill(signer, signal.SIGKILL)
        self.assertTrue(until(lambda: "event=signer.started" in a.log_text()))
        a.process.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: "event=daemon.reloaded" in a.log_text()))
        self.assertEqual(a.stop(), 0)

    def test_files_may_not_grow(self):
        """RLIMIT_FSIZE: what cannot be written is refused like on a full disk, the rest goes on."""
        a = self.authority().start()
        self.enrol(a, "before")
        # not from its start on: the thread sanitizer needs a file of half a megabyte then
        resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        before = self.new_challenge(a, "other")
        r = self.enrol(a, "other", before, check=False)
        self.assertNotEqual(r.returncode, 0, r.stdout)
        self.assertIsNone(a.process.poll())
        self.assertIn(b"SCEPStandard", a.get("/scep?operation=GetCACaps"))
        self.assertEqual(a.stop(), 0)
        a.start()
        self.enrol(a, "other", before)
        self.assertEqual(len(a.json("cert", "list")), 2)
        a.ctl("store", "verify")
        a.stop()

    def test_nobody_reads_the_log(self):
        """Behind a pager, or a log driver that hangs: devices are served on."""
        a = self.authority()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        a.log = os.fdopen(writer, "wb")
        a.process = subprocess.Popen([SCEPD, "-c", a.conf], stdout=a.log, stderr=a.log)
        a.wait_ready()
        c = self.connection(a)
        for _ in range(90):  # more than the pipe has room for, less than is left out of every second
            c.request("GET", "/nothing")
            self.assertEqual(c.getresponse().read(), b"no endpoint has this path\n")
        self.assertIn(b"SCEPStandard", a.get("/scep?operation=GetCACaps"))
        self.assertEqual(a.stop(), 0)

    def test_threads_have_names(self):
        """For top, perf and the figures of performance; a confined process can give them only to itself."""
        a = self.authority()
        a.start()

        def names():
            tasks = f"/proc/{a.process.pid}/task"
            found = set()
            for t in os.listdir(tasks):
                with open(os.path.join(tasks, t, "comm")) as f:
                    found.add(f.read().strip())
            return found

        wanted = {"scepd", "worker", "committer", "attempts", "errands", "upkeep"}
        self.assertTrue(until(lambda: wanted <= names()), names())

    def test_start_line_and_orderly_end(self):
        a = self.authority().start()
        line = next(l for l in a.log_text().splitlines() if "event=daemon.started" in l)
        self.assertIn(f"address=http://127.0.0.1:{a.port} ", line)
        self.assertIn('endpoints="/scep /scep/static /scep/ca /scep/manual /scep/legacy"', line)
        self.assertRegex(line, r"version=\d+\.\d+\.\d+ ")
        signer = int(re.search(r"signer=(\d+)", line).group(1))
        os.kill(signer, 0)
        self.assertEqual(a.stop(), 0)
        self.assertIn("event=daemon.stopped", a.log_text())
        with self.assertRaises(ProcessLookupError):
            os.kill(signer, 0)
        for l in a.log_text().splitlines():
            self.assertRegex(l, r"^ts=\S+Z level=\w+ event=\S+")

    def test_other_signals_end_it_as_well(self):
        a = self.authority()
        for number in (signal.SIGINT, signal.SIGTERM):
            a.start()
            a.process.send_signal(number)
            self.assertEqual(a.process.wait(30), 0)

    def test_told_twice_with_nothing_to_finish(self):
        """As timeout(1) does, which tells its whole group as well."""
        a = self.authority().start()
        for number in (signal.SIGTERM, signal.SIGINT):
            a.process.send_signal(number)
        self.assertEqual(a.process.wait(30), 0)
        self.assertIn('event=daemon.stopped msg="all requests were finished"', a.log_text())

    def test_end_with_connections_open(self):
        a = self.authority().start()
        idle = self.connection(a)
        idle.request("GET", "/scep?operation=GetCACaps")
        idle.getresponse().read()
        half = socket.create_connection(("127.0.0.1", a.port), timeout=20)
        self.addCleanup(half.close)
        half.sendall(b"POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0")
        self.assertEqual(a.stop(), 0)
        self.assertEqual(half.recv(1), b"")

    def test_end_under_load_loses_nothing(self):
        a = self.authority().start()
        results = {}

        def one(name):
            results[name] = self.enrol(a, name, check=False).returncode

        threads = [threading.Thread(target=one, args=(f"device-{i}",)) for i in range(6)]
        for t in threads:
            t.start()
        until(lambda: "result=issued" in a.log_text())
        self.assertEqual(a.stop(), 0)
        for t in threads:
            t.join()
        stored = {c["subject"] for c in a.json("cert", "list")}
        issued = {"CN=" + name for name, code in results.items() if code == 0}
        self.assertTrue(issued)
        self.assertLessEqual(issued, stored)

    def signer(self, a):
        """The one that serves now."""
        return int(re.findall(r"event=(?:daemon|signer)\.(?:started|reloaded) .*\bsigner=(\d+)", a.log_text())[-1])

    def test_a_signer_that_dies_is_replaced(self):
        a = self.authority().start()
        first = self.signer(a)
        os.kill(first, signal.SIGKILL)
        until(lambda: "event=signer.started" in a.log_text())
        self.assertIn(f"event=signer.ended signer={first} ", a.log_text())
        self.assertNotEqual(self.signer(a), first)
        self.enrol(a, "device")
        self.assertEqual(a.stop(), 0)

    def test_without_a_signer_it_says_so(self):
        """Its key file is away: 503, until it is there again."""
        a = self.authority().start()
        challenge = self.new_challenge(a, "device")
        key = os.path.join(a.home, "keys", "ca.key")
        os.rename(key, key + ".away")
        os.kill(self.signer(a), signal.SIGKILL)
        until(lambda: "event=signer.failed" in a.log_text())
        self.assertIn("ca.key", next(l for l in a.log_text().splitlines() if "event=signer.failed" in l))
        r = self.enrol(a, "device", challenge, check=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("reason=signer.unavailable", a.log_text())
        self.assertIn(b"SCEPStandard", a.get("/scep?operation=GetCACaps"))
        os.rename(key + ".away", key)
        until(lambda: "event=signer.started" in a.log_text(), 60)
        self.enrol(a, "device", challenge) # which was not burnt
        self.assertEqual(a.stop(), 0)

    def test_without_its_keeper_it_ends(self):
        a = self.authority().start()
        signer = self.signer(a)
        os.kill(int(re.search(r"keeper=(\d+)", a.log_text()).group(1)), signal.SIGKILL)
        self.assertEqual(a.process.wait(30), FAILED)
        self.assertIn("event=keeper.ended", a.log_text())
        until(lambda: not os.path.exists(f"/proc/{signer}"))
        self.assertFalse(os.path.exists(f"/proc/{signer}"))

    def test_keeper_and_signer_end_with_the_daemon(self):
        a = self.authority().start()
        pids = [self.signer(a), int(re.search(r"keeper=(\d+)", a.log_text()).group(1))]
        a.kill()
        for pid in pids:
            until(lambda: not os.path.exists(f"/proc/{pid}"))
            self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_json_log(self):
        a = self.authority(lambda text: re.sub(r'format = "logfmt"', 'format = "json"', text)).start()
        self.enrol(a, "device")
        a.stop()
        lines = [json.loads(l) for l in a.log_text().splitlines()]
        request = next(l for l in lines if l["event"] == "scep.request")
        self.assertEqual((request["result"], request["subject"], request["status"]), ("issued", "CN=device", 200))

    def test_listen_overrides_the_configuration(self):
        a = self.authority()
        port = free_port()
        p = subprocess.Popen([SCEPD, "-c", a.conf, "--listen", f"127.0.0.1:{port}"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        try:
            a.process, a.url, a.log_path = p, f"http://127.0.0.1:{port}", os.devnull
            a.wait_ready()
        finally:
            p.terminate()
            out, _ = p.communicate(timeout=30)
            a.process = None
        self.assertEqual((p.returncode, out), (0, b"")) # nothing on standard output

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_root_becomes_the_user(self):
        nobody = pwd.getpwnam("nobody")
        a = self.authority(lambda text: text + '\nuser = "nobody";\n')
        run("chown", "-R", f"nobody:{nobody.pw_gid}", a.home)
        a.start()
        others = re.search(r"keeper=(\d+) signer=(\d+)", a.log_text()).groups()
        for pid in (str(a.process.pid), *others):
            with open(f"/proc/{pid}/status") as f:
                status = f.read()
            for field in ("Uid", "Gid", "Groups"):
                ids = set(re.search(rf"^{field}:(.*)$", status, re.M).group(1).split())
                self.assertEqual(ids, {str(nobody.pw_gid if field != "Uid" else nobody.pw_uid)}, (pid, field))
        self.enrol(a, "device")
        self.assertEqual(a.stop(), 0)


class Crl(Case):
    def test_revocation_is_published_and_survives(self):
        """RFC 8894 section 3.3.4."""
        a = self.authority().start()
        self.enrol(a, "device")
        self.assertEqual(self.revoked(a), 0)
        a.ctl("cert", "revoke", a.json("cert", "list")[0]["serial"], "--reason", "key-compromise", "--yes")
        self.assertEqual(until(lambda: self.revoked(a)), 1)
        before = a.get("/crl/demo.crl")
        self.assertEqual(a.stop(), 0)
        a.start() # no new number when nothing happened
        self.assertEqual(a.get("/crl/demo.crl"), before)
        a.stop()
        a.ctl("cert", "list")

    def test_types(self):
        a = self.authority().start()
        c = self.connection(a)
        for path, kind in (("/crl/demo.crl", "application/pkix-crl"), ("/ca/demo.crt", "application/pkix-cert")):
            c.request("HEAD", path)
            r = c.getresponse()
            r.read()
            self.assertEqual((r.status, r.getheader("Content-Type")), (200, kind))
            c.request("GET", path)
            body = c.getresponse().read()
            self.assertEqual(int(r.getheader("Content-Length")), len(body))


class Refusals(Case):
    def test_a_flood_of_refusals_is_counted_not_logged(self):
        a = self.authority().start()
        c = self.connection(a)
        for _ in range(750):
            c.request("GET", "/nothing", headers={"User-Agent": "flood"})
            self.assertEqual(c.getresponse().read(), b"no endpoint has this path\n")
            c.request("POST", "/scep", body=b"garbage")
            self.assertEqual(c.getresponse().read()[-1:], b"\n")
        until(lambda: "event=log.dropped" in a.log_text())
        a.stop()
        text = a.log_text()
        told = len(re.findall("event=http.refused reason=http.wrong_path|event=scep.request result=refused", text))
        dropped = sum(int(n) for n in re.findall(r"event=log.dropped count=(\d+)", text))
        self.assertEqual(told + dropped, 1500)
        self.assertGreater(dropped, 0)

    def test_paths_that_clients_have_built_in(self):
        a = self.authority().start()
        c = self.connection(a)
        for path in ("/scep/", "/scep/pkiclient.exe", "/SCEP/cgi-bin/pkiclient.exe", "/cgi-bin/pkiclient.exe",
                     "/certsrv/mscep/mscep.dll", "/CertSrv/mscep/mscep.dll/pkiclient.exe", "/certsrv/mscep/"):
            c.request("GET", path + "?operation=GetCACaps&message=default")
            r = c.getresponse()
            self.assertEqual(r.status, 200, path)
            self.assertIn(b"SCEPStandard\n", r.read(), path)

    def test_not_scep_at_all(self):
        a = self.authority().start()
        c = self.connection(a)
        for body in (b"hello", b"\x30\x03\x02\x01\x05", os.urandom(2000)):
            c.request("POST", "/scep", body=body)
            r = c.getresponse()
            self.assertEqual(r.status, 400)
            self.assertEqual(r.getheader("Content-Type"), "text/plain")
            self.assertTrue(r.read().endswith(b"\n"))
        self.assertEqual(a.log_text().count("event=scep.request result=refused"), 3)


class Start(Case):
    """What goes wrong at the start is told with its value and with what to do."""

    def refused(self, a, *parts):
        r = scepd("-c", a.conf)
        self.assertEqual((r.returncode, r.stdout), (FAILED, ""), r.stderr)
        for part in parts:
            self.assertIn(part, r.stderr)
        self.assertRegex(r.stderr, r"(?m)^fix: ")
        self.assertLessEqual(sum(not l.startswith("ts=") for l in r.stderr.splitlines()), 4)

    def test_port_taken(self):
        a = self.authority()
        with socket.socket() as s:
            s.bind(("127.0.0.1", a.port))
            s.listen()
            self.refused(a, f"127.0.0.1:{a.port}", "Address already in use", a.conf, "ss -ltnp")

    def test_store_served_already(self):
        a = self.authority().start()
        r = scepd("-c", a.conf, "--listen", f"127.0.0.1:{free_port()}")
        self.assertEqual((r.returncode, r.stdout), (FAILED, ""), r.stderr)
        self.assertIn("is served by another scepd already", r.stderr)
        self.assertRegex(r.stderr, r"(?m)^fix: stop the other scepd")
        a.ctl("store", "verify") # scepctl works beside it
        a.kill() # its place is free at once
        a.start()
        self.assertEqual(a.stop(), 0)

    def test_no_store(self):
        a = self.authority()
        shutil.rmtree(os.path.join(a.home, "store"))
        self.refused(a, os.path.join(a.home, "store"), "scepctl init")
        self.assertFalse(os.path.exists(os.path.join(a.home, "store"))) # not made anew in silence

    def test_unreadable_key(self):
        a = self.authority()
        with open(os.path.join(a.home, "keys", "ca.key"), "w") as f:
            f.write("no key\n")
        self.refused(a, "ca.key")

    def test_unknown_user(self):
        if os.geteuid() == 0:
            self.refused(self.authority(lambda text: text + '\nuser = "no-such-user";\n'), "no-such-user")

    def test_mistakes_in_the_configuration(self):
        a = self.authority(lambda text: text.replace("max_connections", "max_conections") + "\nsurprise = 1;\n")
        r = scepd("-c", a.conf)
        self.assertEqual((r.returncode, r.stdout), (FAILED, ""))
        for part in ("max_conections", 'did you mean "max_connections"', "surprise", "not started, 2 problems"):
            self.assertIn(part, r.stderr)

    def test_no_configuration(self):
        r = scepd("-c", "/nonexistent/scepd.conf")
        self.assertEqual(r.returncode, FAILED)
        self.assertIn("/nonexistent/scepd.conf", r.stderr)


class Check(Case):
    def test_good(self):
        a = self.authority()
        r = scepd("-c", a.conf, "--check-config")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("no problems", r.stdout)

    def test_all_mistakes_at_once(self):
        a = self.authority(lambda text: text.replace("max_connections", "max_conections") + "\nsurprise = 1;\n")
        r = scepd("-c", a.conf, "--check-config")
        self.assertEqual((r.returncode, r.stdout), (PROBLEMS, ""))
        for part in (f"{a.conf}:", "max_conections", "surprise", "2 problems"):
            self.assertIn(part, r.stderr)

    def test_files_are_looked_at(self):
        a = self.authority()
        os.unlink(os.path.join(a.home, "ca", "ra.pem"))
        r = scepd("-c", a.conf, "--check-config")
        self.assertEqual(r.returncode, PROBLEMS)
        self.assertIn("ra.pem", r.stderr)
        self.assertIn("1 problem\n", r.stderr)

    def test_what_would_not_start(self):
        for edit, part in ((('"keys/ca.key"', '"keys/ra.key"'), "ra.key"), (('"keys/ca.key"', '"ca/ca.pem"'), "ca.pem"),
                           (('address = "127.0.0.1"', 'address = "localhost"'), 'address = "localhost"'),
                           (('path = "store"', 'path = "no-store"'), "no-store"),
                           (('path = "store"', 'path = "scepd.conf"'), "not a directory"),
                           (('queue = 512;', 'queue = 512; user = "no-such-user";'), "no-such-user")):
            a = self.authority(lambda text: text.replace(*edit, 1))
            r = scepd("-c", a.conf, "--check-config")
            self.assertEqual(r.returncode, PROBLEMS, edit)
            self.assertIn(part, r.stderr)
            self.assertIn(": 1 problem\n", r.stderr)
            r = a.ctl("config", "check", check=False)
            self.assertEqual(r.returncode, PROBLEMS, edit)
            self.assertIn(part, r.stdout)

    def test_addresses_of_ocsp(self):
        """RFC 5019 section 5: what clients put behind them must fit, and begins with a slash."""
        long = "http://ca.example.org/" + "o" * 91
        for url, part in ((long, None), (long + "x", "more than 106"), ("http://ca.example.org/ocsp/", "ends in a slash")):
            a = self.authority(lambda text: re.sub('ocsp_url = ".*?"', f'ocsp_url = "{url}"', text))
            r = scepd("-c", a.conf, "--check-config")
            self.assertEqual(r.returncode, 0, r.stderr)
            if part:
                self.assertIn(part, r.stdout + r.stderr)
            else:
                self.assertNotIn("ocsp_url", r.stdout + r.stderr)

    def test_small_keys_where_a_template_says_so(self):
        for edit, warned in ((None, False), (lambda text: re.sub(r"rsa = \[2048, ", "rsa = [1024, ", text), True)):
            a = self.authority(edit)
            r = scepd("-c", a.conf, "--check-config")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual("RSA keys of 1024 bits" in r.stdout + r.stderr, warned, r.stdout + r.stderr)
            a.start()
            run("openssl", "genrsa", "-out", os.path.join(a.home, "old.key"), "1024")
            r = self.enrol(a, "old", check=False)
            self.assertEqual(r.returncode == 0, warned, r.stderr)
            if not warned:
                self.assertIn("key.small", r.stderr)

    def test_one_mistake_is_told_once(self):
        a = self.authority(lambda text: text.replace('challenge = "one-time";', 'challenge = "ont-time\x1b[31m";', 1))
        r = scepd("-c", a.conf, "--check-config")
        self.assertIn("is none of", r.stderr)
        self.assertIn(": 1 problem\n", r.stderr)
        self.assertNotIn("\x1b", r.stderr)

    def test_paths_that_differ_by_case_only(self):
        a = self.authority(lambda text: text.replace('"/scep/legacy"', '"/SCEP/static"'))
        r = scepd("-c", a.conf, "--check-config")
        self.assertEqual(r.returncode, PROBLEMS)
        self.assertIn("/SCEP/static", r.stderr)


class Arguments(Case):
    def test_version_and_help(self):
        r = scepd("--version")
        self.assertEqual(r.returncode, 0)
        self.assertRegex(r.stdout, r"^scepd \d+\.\d+\.\d+\n$")
        r = scepd("--help")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        for option in ("--config", "--listen", "--check-config", "--version"):
            self.assertIn(option, r.stdout)

    def test_usage(self):
        a = self.authority()
        for args in (("--surprise",), ("something",), ("-c",), ("-c", a.conf, "--listen", "8080"),
                     ("-c", a.conf, "--listen", "127.0.0.1:x"), ("-c", a.conf, "--listen", "127.0.0.1:70000")):
            r = scepd(*args)
            self.assertEqual((r.returncode, r.stdout), (USAGE, ""), args)
            self.assertIn("fix: ", r.stderr)


if __name__ == "__main__":
    unittest.main()
