"""scepctl client and what servers announce (RFC 8894 section 3.5.2) or hand out (sections 2.2 and 4.7.1)."""

import http.server
import os
import subprocess
import tempfile
import threading
import unittest
import urllib.parse

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SCEPCTL = os.path.join(os.environ.get("SCEPD_BUILD", os.path.join(TOP, "build")), "scepd", "scepctl")


class Server(unittest.TestCase):
    """A made-up server: an operation's status, media type and body."""

    def serve(self, answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                operation = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)["operation"][0]
                status, media, body = answers.get(operation, (404, "text/plain", b""))
                self.send_response(status)
                self.send_header("Content-Type", media)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(lambda: (server.shutdown(), thread.join(), server.server_close()))
        return f"http://127.0.0.1:{server.server_port}/scep"

    def client(self, verb, url, *more):
        return subprocess.run([SCEPCTL, "client", verb, url, *more], capture_output=True, text=True, timeout=60)


class Capabilities(Server):
    def ask(self, body, *more, status=200, media="text/plain"):
        return self.client("caps", self.serve({"GetCACaps": (status, media, body)}), *more)

    def words(self, *args, **options):
        r = self.ask(*args, **options)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout.split()

    def test_line_ends_and_unknown_words(self):
        """LF and CR LF, words that nobody knows, whatever the media type."""
        self.assertEqual(self.words(b"AES\nSHA-256\n"), ["AES", "SHA-256"])
        self.assertEqual(self.words(b"AES\r\nx.example.WORD\r\nSHA-256", media="text/html"), ["AES", "x.example.WORD", "SHA-256"])

    def test_nothing_announced(self):
        """An empty answer and an error both mean no capability."""
        for status, body in (200, b""), (404, b"not here"), (500, b""):
            r = self.ask(body, status=status)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("announces no capability", r.stderr)

    def test_downgrade(self):
        """RFC 8894 section 7.5: who expects SCEPStandard does not go on without it."""
        r = self.ask(b"AES\nSHA-256\nPOSTPKIOperation\n", "--expect-standard")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("downgrade", r.stderr)
        self.assertIn("SCEPStandard", self.words(b"SCEPStandard\n", "--expect-standard"))


class NextCa(Server):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        for name in "ca", "next", "stranger":
            self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "30", "-keyout",
                         self.path(name + ".key"), "-out", self.path(name + ".pem"))
        self.openssl("x509", "-in", self.path("ca.pem"), "-outform", "DER", "-out", self.path("ca.der"))
        self.openssl("crl2pkcs7", "-nocrl", "-certfile", self.path("next.pem"), "-outform", "DER", "-out", self.path("inner"))

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def ask(self, signer):
        """What the client makes of a next CA that `signer` vouches for."""
        self.openssl("cms", "-sign", "-binary", "-nodetach", "-signer", self.path(signer + ".pem"), "-inkey",
                     self.path(signer + ".key"), "-in", self.path("inner"), "-outform", "DER", "-out", self.path("outer"))
        return self.client("nextca", self.serve({
            "GetCACaps": (200, "text/plain", b"GetNextCACert\n"),
            "GetCACert": (200, "application/x-x509-ca-cert", self.read("ca.der")),
            "GetNextCACert": (200, "application/x-x509-next-ca-cert", self.read("outer"))}))

    def test_signed_by_the_current_ca(self):
        r = self.ask("ca")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(self.read("next.pem").decode().strip(), r.stdout)

    def test_next_ca_of_a_stranger(self):
        """RFC 8894 section 4.7.1: verified before it is trusted."""
        r = self.ask("stranger")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("not signed by the CA", r.stderr)
        self.assertEqual(r.stdout, "")


if __name__ == "__main__":
    unittest.main()
