"""OCSP under wrk: scepd, beside it nginx with a file of the same size and Debian's `openssl ocsp` with as many certificates.

The certificates are those of seed_store: their serials are known, and every tenth is revoked."""

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from figures import on, processes, thread_seconds
from harness import free_port, need, run

# Paths in turn from a file.
PATHS = """local requests, i = {}, 0
function init(args)
    for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", line) end
end
function request()
    i = i % #requests + 1
    return requests[i]
end
"""
# The same request with a nonce that is never the same.
NONCES = """local body, at, n
function init(args)
    local f = io.open(args[1], "rb")
    body, at, n = f:read("*a"), tonumber(args[2]), 0
    f:close()
end
function request()
    n = n + 1
    return wrk.format("POST", nil, {["Content-Type"] = "application/ocsp-request"},
        body:sub(1, at) .. string.format("%016d", n) .. body:sub(at + 17))
end
"""


def serial_of(i):
    """As tests/scepd/seed_store.c gives it."""
    return bytes([0x40]) + i.to_bytes(4, "little") + bytes(11)


class Requests:
    """What is asked, as files for wrk."""

    def __init__(self, ca, certificates):
        self.dir = tempfile.mkdtemp(prefix="scepd-ocsp-")
        self.certificates = certificates
        self.plain = self.request(ca, "-no_nonce")
        self.nonce = self.request(ca, "-nonce")
        for name, text in (("paths.lua", PATHS), ("nonces.lua", NONCES)):
            with open(self.file(name), "w") as f:
                f.write(text)

    def file(self, name):
        return os.path.join(self.dir, name)

    def request(self, ca, *options):
        run("openssl", "ocsp", "-issuer", ca, "-serial", "0x" + serial_of(1).hex(), *options, "-reqout", self.file("request"))
        with open(self.file("request"), "rb") as f:
            return f.read()

    def get(self, prefix, i):
        assert self.plain.count(serial_of(1)) == 1
        return prefix + "/" + base64.b64encode(self.plain.replace(serial_of(1), serial_of(i))).decode()

    def paths(self, name, lines):
        with open(self.file(name), "w") as f:
            f.write("".join(line + "\n" for line in lines))
        return "paths.lua", self.file(name)

    def ocsp(self, prefix, n):
        """GETs of `n` certificates in turn, spread over all."""
        return self.paths("get", [self.get(prefix, i * self.certificates // n) for i in range(n)])

    def nonces(self):
        """POSTs, each with a nonce of its own: the last 16 octets of the request are it."""
        with open(self.file("nonce"), "wb") as f:
            f.write(self.nonce)
        return "nonces.lua", self.file("nonce"), len(self.nonce) - 16

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def start_wrk(requests, port, script, connections, seconds, cpus=None, path="/"):
    name, *arguments = script
    return subprocess.Popen(
        [*on(cpus), need("wrk"), "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", requests.file(name),
         f"http://127.0.0.1:{port}{path}", "--", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


MILLISECONDS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}


def said_by(wrk):
    """{rate, p50_ms, p99_ms, failures} of a wrk that was started."""
    text = wrk.communicate()[0]
    rate = re.search(r"^Requests/sec:\s+(\S+)", text, re.M)
    if wrk.returncode or not rate:
        raise AssertionError(f"wrk: exit {wrk.returncode}\n{text}")
    out = {"rate": float(rate[1])}
    for share in ("50", "99"):
        value, unit = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", text, re.M).groups()
        out[f"p{share}_ms"] = float(value) * MILLISECONDS[unit]
    # Of the socket errors those that a request met; who closes after each answer gives read errors.
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    timeouts = re.search(r"timeout (\d+)", text)
    out["failures"] = sum(int(m[1]) for m in (other, timeouts) if m)
    return out


def measure(server, requests, script, connections, seconds, cpus=None, path="/"):
    """One run; with the server's CPU an answer."""
    before = sum(thread_seconds(server.pid).values())
    r = said_by(start_wrk(requests, server.port, script, connections, seconds, cpus, path))
    used = sum(thread_seconds(server.pid).values()) - before
    return {**r, "connections": connections, "server_cpu_us": used / max(r["rate"] * seconds, 1) * 1e6}


class Process:
    """A peer in the foreground, until the end of the block."""

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        end = time.monotonic() + 120
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.name} does not answer")
            time.sleep(0.05)
        return self

    def ready(self):
        """Is there an answer to a good request?"""
        return run("curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{self.port}{self.probe}", check=False).returncode == 0

    def __exit__(self, *_):
        for pid in processes(self.pid):  # the master first: it would start another worker
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)


class Nginx(Process):
    """One worker, and one file of so many octets at /answer."""

    name, probe = "nginx", "/answer"
    CONF = """daemon off; {user} worker_processes 1; pid {dir}/pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=16 inactive=1h;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    default_type application/ocsp-response;
    server {{ listen 127.0.0.1:{port}; root {dir}/www; }}
}}
"""

    def __init__(self, size, cpus=None):
        self.dir = tempfile.mkdtemp(prefix="scepd-nginx-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        os.mkdir(self.dir + "/www")
        with open(self.dir + "/www/answer", "wb") as f:
            f.write(os.urandom(size))
        with open(self.dir + "/conf", "w") as f:
            f.write(self.CONF.format(dir=self.dir, port=self.port, user="user root;" if os.geteuid() == 0 else ""))
        self.command = [*on(cpus), need("/usr/sbin/nginx"), "-p", self.dir, "-e", "/dev/null", "-c", self.dir + "/conf"]


class OpenSsl(Process):
    """`openssl ocsp` with an index of the same certificates, a P-256 CA, and a responder with the same or with RSA.  It ends at the first connection on
    which nothing or nonsense comes, as wrk's first is, so a client of its own asks it (`one_by_one`)."""

    name = "openssl"

    def __init__(self, certificates, cpus=None, rsa=False):
        self.dir = tempfile.mkdtemp(prefix="scepd-openssl-")
        self.certificates = certificates
        self.port = free_port()
        file = lambda name: os.path.join(self.dir, name)
        self.ca = file("ca.pem")
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("openssl", "req", "-x509", *new, "-keyout", file("ca.key"), "-out", self.ca, "-subj", "/CN=Peer", "-days", "30")
        with open(file("extensions"), "w") as f:
            f.write("keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\n")
        new = ("-newkey", "rsa:2048", "-nodes") if rsa else new
        run("openssl", "req", *new, "-keyout", file("key"), "-out", file("csr"), "-subj", "/CN=Responder")
        run("openssl", "x509", "-req", "-in", file("csr"), "-CA", self.ca, "-CAkey", file("ca.key"), "-days", "20", "-extfile",
            file("extensions"), "-out", file("cert"))
        with open(file("index.txt"), "w") as f:
            for i in range(certificates):
                serial = serial_of(i).hex().upper()
                state = "R\t361125000000Z\t261125000000Z,cessationOfOperation" if i % 10 == 0 else "V\t361125000000Z\t"
                f.write(f"{state}\t{serial}\tunknown\t/CN=device-{i}\n")
        self.command = [*on(cpus), "openssl", "ocsp", "-index", file("index.txt"), "-port", str(self.port), "-rsigner", file("cert"),
                        "-rkey", file("key"), "-CA", self.ca, "-nmin", "60"]
        self.requests = Requests(self.ca, certificates)
        self.probe = self.requests.get("", 1)

    def __exit__(self, *more):
        self.requests.close()
        super().__exit__(*more)

    def one_by_one(self, seconds, cpus=None):
        """What `measure` says, of two clients that take turns: it answers one connection after the other."""
        paths = [self.requests.get("", i * self.certificates // 100) for i in range(100)]
        before, answers = sum(thread_seconds(self.pid).values()), [0, 0]

        def ask(k, end):
            if cpus:
                os.sched_setaffinity(0, cpus)
            while time.monotonic() < end:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
                    s.sendall(f"GET {paths[answers[k] % 100]} HTTP/1.0\r\n\r\n".encode())
                    answer = b"".join(iter(lambda: s.recv(65536), b""))
                if not answer.startswith(b"HTTP/1.0 200"):
                    raise AssertionError(f"openssl ocsp: {answer[:100]}")
                answers[k] += 1
        threads = [threading.Thread(target=ask, args=(k, time.monotonic() + seconds)) for k in (0, 1)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        n = sum(answers)
        return {"rate": n / seconds, "server_cpu_us": (sum(thread_seconds(self.pid).values()) - before) / max(n, 1) * 1e6}


def raw_signatures(cpus, seconds):
    """P-256 signatures a second by `openssl speed` on one processor."""
    r = run(*on(cpus), "openssl", "speed", "-seconds", seconds, "ecdsap256", timeout=120)
    return float(re.search(r"256 bits ecdsa \(nistp256\)\s+\S+\s+\S+\s+([\d.]+)", r.stdout)[1])

