"""scepctl client and what servers announce (RFC 8894 section 3.5.2): made-up servers, one answer each."""

import http.server
import os
import subprocess
import threading
import unittest

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SCEPCTL = os.path.join(os.environ.get("SCEPD_BUILD", os.path.join(TOP, "build")), "scepd", "scepctl")


class Capabilities(unittest.TestCase):
    def ask(self, body, *more, status=200, media="text/plain"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
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
        return subprocess.run([SCEPCTL, "client", "caps", f"http://127.0.0.1:{server.server_port}/scep", *more],
                              capture_output=True, text=True, timeout=60)

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


if __name__ == "__main__":
    unittest.main()
