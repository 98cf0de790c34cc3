"""A server elsewhere, for tests: answers by TLS (or plainly) as a test tells it, and keeps what it was asked."""

import hashlib
import hmac
import json
import os
import ssl
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import run


def make_ca(directory, host="127.0.0.1"):
    """A CA of its own and a server certificate under it: (ca.pem, server.pem with its key)."""
    path = lambda name: os.path.join(directory, name)  # noqa: E731
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path("ca.key"),
        "-out", path("ca.pem"), "-subj", "/CN=Elsewhere CA", "-days", "30")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path("server.key"),
        "-out", path("server.csr"), "-subj", "/CN=elsewhere")
    kind = "IP" if host[0].isdigit() else "DNS"
    with open(path("server.ext"), "w") as f:
        f.write(f"subjectAltName={kind}:{host}\nbasicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-in", path("server.csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial",
        "-out", path("server.crt"), "-days", "30", "-extfile", path("server.ext"))
    with open(path("server.pem"), "w") as out:
        for name in ("server.crt", "server.key"):
            with open(path(name)) as f:
                out.write(f.read())
    return path("ca.pem"), path("server.pem")


class Asked:
    """One request as it came.  `peer`: address and port at the other end, so that requests of one connection are known."""

    def __init__(self, method, path, headers, body, peer):
        self.method, self.path, self.headers, self.body, self.peer = method, path, headers, body, peer
        self.at = time.monotonic()

    @property
    def json(self):
        return json.loads(self.body)


class Elsewhere:
    """`answer(asked)` gives (status, body) or (status, body, headers); a dict is sent as JSON.  None: nothing is sent, and the
    connection ends.  `held`: a bound socket, of which nobody else could take the port meanwhile."""

    def __init__(self, answer, tls=None, held=None):
        self.answer, self.asked, self.lock = answer, [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def handle_any(self):
                n = int(self.headers.get("Content-Length") or 0)
                asked = Asked(self.command, self.path, dict(self.headers.items()), self.rfile.read(n), self.client_address)
                with outer.lock:
                    outer.asked.append(asked)
                said = outer.answer(asked)
                if said is None:
                    self.close_connection = True
                    return
                status, body, headers = (*said, {})[:3]
                if isinstance(body, (dict, list)):
                    body, headers = json.dumps(body), {"Content-Type": "application/json", **headers}
                body = body.encode() if isinstance(body, str) else body
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # who asked has gone

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a broken connection is what some tests are about

            def get_request(self):
                sock, address = super().get_request()
                if tls:
                    sock = outer.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                return sock, address

        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls)
        self.server = Server(("127.0.0.1", 0), Handler, bind_and_activate=held is None)
        if held:
            self.server.socket.close()
            self.server.socket, self.server.server_address = held, held.getsockname()
            self.server.server_activate()
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def took(self, **members):
        """What was asked, of those whose JSON has these members."""
        with self.lock:
            return [a for a in self.asked if a.body and all(a.json.get(k) == v for k, v in members.items())]

    def forget(self):
        with self.lock:
            self.asked.clear()


def signature_good(asked, secret):
    """As docs/WEBHOOKS.md tells a receiver to check it."""
    fields = [part.split("=", 1) for part in asked.headers.get("Scepd-Signature", "").split(",")]
    stamp = dict(fields).get("t", "")
    wanted = hmac.new(secret.encode(), stamp.encode() + b"." + asked.body, hashlib.sha256).hexdigest()
    return abs(time.time() - int(stamp or 0)) < 300 and any(k == "v1" and hmac.compare_digest(v, wanted) for k, v in fields)


def secret_file(directory, *secrets):
    fd, path = tempfile.mkstemp(dir=directory)
    with os.fdopen(fd, "w") as f:
        f.write("\n".join(secrets) + "\n")
    os.chmod(path, 0o600)
    return path


def wait_for(condition, what="it", seconds=60):
    """What `condition` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain for {what}")
