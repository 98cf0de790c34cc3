"""More than can be done: thousands of idle connections, senders and readers that are slow, twenty times the capacity.

What must hold: memory stays within what the configuration allows, honest clients are served all the while, who must wait is
told so (503 with Retry-After), everybody who comes again gets a certificate, and nothing of it remains afterwards.  How
quickly is printed, not judged: lines "overload what=..." (docs/PERFORMANCE.md)."""

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from crowd import Callers, Crowd, raise_descriptors  # noqa: E402
from harness import BUILD, SCEPD, Authority, free_port, run  # noqa: E402

SCEPLOAD = os.path.join(BUILD, "tests", "bench", "scepload")
FLOOD = os.path.join(BUILD, "tests", "bench", "flood")
# How many times as many devices enrol: by hand, for figures.
SCALE = int(os.environ.get("OVERLOAD_SCALE", "1"))
IDLE = 10000
# Octets of memory that a connection may cost beside what it sent, and with a usual request on it.
CONNECTION, REQUEST = 8192, 16384 + 4096
MAX_BUFFERED = 67108864
SANITIZED = re.search(r"lib[at]san\.so", run("ldd", SCEPD).stdout)
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")


def values(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def tell(**what):
    print("overload", *(f"{k}={v}" for k, v in what.items()), flush=True)


class Case(unittest.TestCase):
    def setUp(self):
        self.assertTrue(raise_descriptors(IDLE + 1000), "the system lets this process have too few descriptors")

    def start(self, *edits, before=()):
        def edit(text):
            for old, new in (('request_timeout = "30s"', 'request_timeout = "600s"'), *edits):
                self.assertIn(old, text)
                text = text.replace(old, new, 1)
            return text
        self.admin, self.api = free_port(), free_port()
        self.a = Authority(init_args=("--admin-port", self.admin, "--api-port", self.api), edit=edit)
        self.addCleanup(self.a.close)
        self.a.start(before)
        self.enrol(20, 4)  # warm: what is made once is made
        self.base = self.memory()

    def memory(self):
        """Anonymous octets of the process that faces the network."""
        with open(f"/proc/{self.a.process.pid}/smaps_rollup") as f:
            return 1024 * int(re.search(r"^Anonymous:\s+(\d+) kB", f.read(), re.M).group(1))

    def assert_memory(self, most):
        used = self.memory() - self.base
        if SANITIZED:  # which keep what was freed, and shadows of all
            return used
        self.assertLess(used, most, f"{used >> 20} MB more than before")
        return used

    def metric(self, name, labels=""):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as r:
            text = r.read().decode()
        return float(re.search(rf"^{name}{re.escape(labels)} (\S+)$", text, re.M).group(1))

    def until(self, what, seconds=120):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, "waited in vain")
            self.assertIsNone(self.a.process.poll(), "the daemon ended")
            time.sleep(0.02)

    def connections(self):
        return self.metric("scepd_http_connections", '{listener="scep"}')

    def enrol(self, n, connections, **more):
        """Devices that try until they have a certificate, from 127.0.0.1; all of them get one."""
        challenges = os.path.join(self.a.home, "challenges")
        with open(challenges, "w") as f:
            f.write(self.a.ctl("challenge", "new", "--count", n, "--expires", "1d", "-q").stdout)
        r = run(SCEPLOAD, "--port", self.a.port, "-n", n, "--connections", connections, "--challenges", challenges,
                "--retry", 150, check=False, timeout=200)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        got = values(r.stdout.splitlines()[-1])
        self.assertEqual(int(got["issued"]), n)
        return got

    def crowd(self, n, **more):
        c = Crowd(self.a.port, n, **more)
        self.addCleanup(c.stop)
        c.start()
        return c

    def assert_caps(self):
        self.assertIn(b"SCEPStandard", self.a.get("/scep?operation=GetCACaps"))

    def assert_over(self):
        """Nothing remains: nothing in the queue, no connection, and all is served.  How long the queue took to empty, and
        the slowest enrolment afterwards."""
        begun = time.monotonic()
        self.until(lambda: self.metric("scepd_queue_jobs", '{queue="requests"}') == 0)
        seconds = time.monotonic() - begun
        after = self.enrol(20, 4)
        self.until(lambda: self.connections() < 5)
        self.assertEqual(self.a.stop(), 0)
        return seconds, after["max_ms"]


class Connections(Case):
    def test_ten_thousand_idle(self):
        self.start(("max_connections = 1024", f"max_connections = {IDLE + 200}"))
        before = self.enrol(100 * SCALE, 16)
        # Silent ones, and some in the middle of a header.
        crowd = self.crowd(IDLE, says=lambda i: b"" if i % 4 else b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: x",
                           addresses=ADDRESSES)
        self.until(lambda: self.connections() >= IDLE)
        meanwhile = self.enrol(100 * SCALE, 16)
        self.assert_caps()
        used = self.assert_memory(IDLE * CONNECTION)
        self.assertEqual(crowd.ended, 0)  # nobody had to leave
        crowd.stop()
        self.until(lambda: self.connections() < 5)
        tell(what="idle", connections=IDLE, memory_kb=used >> 10, each=used // IDLE, rps_before=before["rps"],
             rps_meanwhile=meanwhile["rps"], p99_ms_meanwhile=meanwhile["p99_ms"], rps_after=self.enrol(100 * SCALE, 16)["rps"])
        self.assert_over()

    def test_more_than_the_limit_that_come_again(self):
        """Ten times as many as there may be, which come again when they are closed."""
        self.start()
        crowd = self.crowd(IDLE, says=lambda i: b"" if i % 2 else b"POST /scep HTTP/1.1\r\nHost: x\r\n",
                           addresses=ADDRESSES, again=True)
        self.until(lambda: self.connections() >= 1024)
        meanwhile = self.enrol(60 * SCALE, 8)
        self.assert_caps()
        self.assertLessEqual(self.connections(), 1024)
        used = self.assert_memory(1024 * (CONNECTION + REQUEST))
        self.assertGreater(crowd.ended, 0)
        crowd.stop()
        self.assertGreater(self.metric("scepd_http_limited_total", '{limit="max_connections"}'), 0)
        tell(what="over_the_limit", connections=IDLE, limit=1024, memory_kb=used >> 10, rps_meanwhile=meanwhile["rps"],
             p99_ms_meanwhile=meanwhile["p99_ms"])
        self.assert_over()

    def test_out_of_descriptors(self):
        """Fewer than connections are allowed: those that do nothing leave, honest clients are served."""
        self.start(before=("prlimit", "--nofile=300:300"))
        self.assertIn("event=daemon.descriptors", self.a.log_text())
        begun = time.monotonic()
        crowd = self.crowd(2000, addresses=ADDRESSES, again=True)
        self.until(lambda: "event=http.accept" in self.a.log_text())
        meanwhile = self.enrol(40 * SCALE, 4)
        self.assertIn("Too many open files", self.a.log_text())
        crowd.stop()
        lines = self.a.log_text().count("event=http.accept")
        self.assertLessEqual(lines, time.monotonic() - begun + 1)  # one a second, not one for each
        self.assertNotIn("event=libevent", self.a.log_text())
        tell(what="descriptors", limit=300, rps_meanwhile=meanwhile["rps"], log_lines=lines)
        self.assert_over()


class Slow(Case):
    def test_senders(self):
        """Bodies that never end: 600 times a quarter of a megabyte, and as many small ones."""
        head = b"POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n"
        self.start(("max_connections = 1024", "max_connections = 2000"))
        crowd = self.crowd(1200, says=lambda i: head + b"0" * (262143 if i % 2 else 4000), addresses=ADDRESSES)
        self.until(lambda: self.metric("scepd_http_limited_total", '{limit="max_buffered"}') > 300)
        meanwhile = self.enrol(60 * SCALE, 8)
        self.assert_caps()
        used = self.assert_memory(2 * MAX_BUFFERED + 1200 * (CONNECTION + REQUEST))
        self.assertLess(crowd.ended, 601)  # of the small ones nobody
        crowd.stop()
        tell(what="slow_senders", connections=1200, sent_kb=crowd.sent >> 10, memory_kb=used >> 10,
             rps_meanwhile=meanwhile["rps"])
        self.assert_over()

    def test_readers(self):
        """A CRL of a megabyte and a thousand CA certificates are asked for, and never taken."""
        self.start()
        index = os.path.join(self.a.home, "index.txt")
        with open(index, "w") as f:
            for i in range(20000):
                f.write(f"R\t351231235959Z\t251101000000Z\t{0x4000000000000000 + i:X}\tunknown\t/CN=old-{i}\n")
        self.a.ctl("ca", "import", index, "--yes", timeout=120)
        self.until(lambda: len(self.a.get("/crl/demo.crl")) > 500000)
        crl = len(self.a.get("/crl/demo.crl"))
        self.base = self.memory()
        request = (b"GET /crl/demo.crl HTTP/1.1\r\nHost: x\r\n\r\n" +
                   b"GET /scep?operation=GetCACert HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        crowd = self.crowd(500, says=lambda i: request, addresses=ADDRESSES)
        self.until(lambda: self.connections() >= 400)
        meanwhile = self.enrol(60 * SCALE, 8)
        self.assert_caps()
        used = self.assert_memory(1.3 * MAX_BUFFERED + 500 * (CONNECTION + REQUEST))
        self.assert_memory(500 * crl / 2)  # they share it
        crowd.stop()
        tell(what="slow_readers", connections=500, crl=crl, memory_kb=used >> 10, rps_meanwhile=meanwhile["rps"])
        self.assert_over()


class Capacity(Case):
    def flood(self, rate, address):
        p = subprocess.Popen([FLOOD, "--port", str(self.a.port), "--from", address, "--rate", str(rate), "--connections",
                              "900"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        self.assertEqual(p.stdout.readline(), "ready\n")
        return p

    def test_twenty_times_the_capacity(self):
        """From one address, whatever is answered; honest clients of another one try until they have a certificate."""
        self.start()
        capacity = float(self.enrol(200 * SCALE, 16)["rps"])
        flood = self.flood(20 * capacity, "127.0.0.2")
        self.until(lambda: self.metric("scepd_queue_rejected_total", '{queue="requests"}') > 1000)
        self.assert_caps()
        meanwhile = self.enrol(100 * SCALE, 16)
        used = self.assert_memory(512 * REQUEST + 1024 * (CONNECTION + REQUEST))
        self.assert_caps()
        flood.send_signal(signal.SIGTERM)
        got = values(flood.stdout.read())
        empty, slowest = self.assert_over()
        for nothing in ("busy_without_retry_after", "other", "broken"):
            self.assertEqual(got[nothing], "0", got)
        self.assertGreater(int(got["busy"]), int(got["ok"]))
        tell(what="flood", capacity=capacity, **{k: got[k] for k in ("offered", "sent", "ok", "busy", "seconds")},
             rps_meanwhile=meanwhile["rps"], p99_ms_meanwhile=meanwhile["p99_ms"], retries_meanwhile=meanwhile["retries"],
             memory_kb=used >> 10, queue_empty_s=f"{empty:.2f}",
             max_ms_after=slowest)

    def test_a_whole_fleet_at_once(self):
        """All of them honest, many more than may wait: who is sent away comes again, and each gets one certificate."""
        self.start(("queue = 512", "queue = 16"))
        got = self.enrol(600, 300)
        self.assertGreater(int(got["retries"]), 100)
        self.assertGreater(self.metric("scepd_queue_rejected_total", '{queue="requests"}'), 100)
        subjects = [c["subject"] for c in self.a.json("cert", "list", "--limit", "0")]
        self.assertEqual(len(subjects), 620)
        tell(what="fleet", devices=600, connections=300, queue=16, rps=got["rps"], retries=got["retries"],
             p99_ms=got["p99_ms"])
        self.assert_over()


class Device(threading.Thread):
    """Asks on one connection, again and again."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.leave, self.ms = port, threading.Event(), []

    def run(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self.leave.wait(0.001):
            begun = time.monotonic()
            c.request("GET", "/scep?operation=GetCACaps")
            c.getresponse().read()
            self.ms.append((time.monotonic() - begun) * 1000)
        c.close()


class Handshakes(unittest.TestCase):
    """As many as the listener of the API takes have been silent and speak at once."""

    CONNECTIONS = 256

    def start(self, key):
        def edit(text):
            return re.sub(r"api: \{ (.*?) \};", r'api: { \1 certificate = "keys/api.pem"; key = "keys/api.key"; };', text)
        port = int(free_port())
        a = Authority(key="p256", init_args=("--api-port", port), edit=edit)
        self.addCleanup(a.close)
        run("openssl", "req", "-x509", "-newkey", *key.split(), "-nodes", "-keyout", os.path.join(a.home, "keys", "api.key"), "-out",
            os.path.join(a.home, "keys", "api.pem"), "-days", "3", "-subj", "/CN=localhost")
        a.start()
        return a, port

    def hello(self):
        out = ssl.MemoryBIO()
        with self.assertRaises(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
        return out.read()

    def together(self, key):
        a, port = self.start(key)
        hello = self.hello()
        clients = [socket.create_connection(("127.0.0.1", port), 120) for _ in range(self.CONNECTIONS)]
        time.sleep(4)  # all of them are accepted, 100 a second, and time is saved up
        device = Device(int(a.port))
        device.start()
        for c in clients:
            c.sendall(hello)
        begun = time.monotonic()
        for c in clients:
            self.assertEqual(c.recv(1), b"\x16")  # RFC 8446 section 5.1: a handshake
        seconds = time.monotonic() - begun
        device.leave.set()
        device.join()
        for c in clients:
            c.close()
        ms = sorted(device.ms)
        tell(what="handshakes", key=key.rpartition(" ")[2], connections=len(clients), seconds=f"{seconds:.1f}",
             asked=len(ms), caps_p50_ms=f"{ms[len(ms) // 2]:.2f}", caps_max_ms=f"{ms[-1]:.0f}")
        self.assertTrue(ms)
        self.assertEqual(a.stop(), 0)

    def test_together(self):
        self.together("ec -pkeyopt ec_paramgen_curve:P-256")
        if SCALE > 1:
            self.together("rsa:2048")
            self.together("rsa:4096")


class Api(Case):
    """Programs that are signed in and ask for as much as they can, on more connections than there may be."""

    CALLERS = 300

    def token(self, name):
        self.a.ctl("admin", "new", name, "--role", "operator")
        return self.a.ctl("admin", "token", "new", name, "-q").stdout.strip()

    @staticmethod
    def says(token):
        """Long lists, and challenges, each of which is a commit."""
        head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n"
        body = '{"endpoint":"/scep"}'
        reads = f"GET /api/v1/certificates?limit=500 HTTP/1.1\r\n{head}\r\n".encode()
        makes = (f"POST /api/v1/challenges HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
        return lambda i: makes if i % 2 else reads

    def test_many_calls_beside_devices(self):
        self.start()
        before = self.enrol(100 * SCALE, 16)
        flood = Callers(int(self.api), self.CALLERS, self.says(self.token("mdm")), ADDRESSES)
        self.addCleanup(flood.stop)
        flood.start()
        self.until(lambda: flood.answers.get(200, 0) > 50 and flood.answers.get(201, 0) > 50)
        meanwhile = self.enrol(100 * SCALE, 16)  # every device gets its certificate
        self.assert_caps()
        # Who asks little, from another address, is served as well.
        own = self.token("anna")
        call = urllib.request.Request(f"http://127.0.0.1:{self.api}/api/v1/session", headers={"Authorization": "Bearer " + own})
        for _ in range(600):
            try:
                with urllib.request.urlopen(call, timeout=60) as r:
                    self.assertEqual(r.status, 200)
                break
            except OSError:  # no connection is free for it: it comes again
                time.sleep(0.05)
        else:
            self.fail("somebody else is never served")
        used = self.assert_memory(16 * 1048576 * 2 + self.CALLERS * (CONNECTION + REQUEST))
        flood.stop()
        self.assertLessEqual(set(flood.answers), {200, 201, 429, 503}, flood.answers)
        self.assertEqual(flood.without_retry_after, 0)
        tell(what="api", connections=self.CALLERS, calls=sum(flood.answers.values()), closed=flood.ended, memory_kb=used >> 10,
             rps_before=before["rps"], rps_meanwhile=meanwhile["rps"], p99_ms_meanwhile=meanwhile["p99_ms"])
        self.assert_over()


if __name__ == "__main__":
    unittest.main()
