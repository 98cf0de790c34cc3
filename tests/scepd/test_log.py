"""The log as a whole: one line a request, whatever came; the same names in both formats; nothing that a client sends begins
a line or a field of its own."""

import json
import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SCEPCTL, Authority, run  # noqa: E402

FIELD = re.compile(r'([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]+)(?: |$)')


def logfmt(line):
    """A strict reader: the whole line, or an error."""
    fields, at = {}, 0
    while at < len(line):
        m = FIELD.match(line, at)
        assert m, f"cannot be read from {at} on: {line!r}"
        key, value = m.groups()
        assert key not in fields, f"{key} twice: {line!r}"
        fields[key] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = m.end()
    return fields


def from_json(line):
    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), line
        return {k: str(v) for k, v in pairs}
    return json.loads(line, object_pairs_hook=unique)


HOSTILE = 'x" level=error event=root.login msg="y\\'


class Log(unittest.TestCase):
    """The same requests to two authorities, which differ in log.format only."""

    @classmethod
    def setUpClass(cls):
        cls.lines = {}
        for name in ("logfmt", "json"):
            a = Authority(edit=lambda t: t.replace('format = "logfmt"', f'format = "{name}"'))
            cls.addClassCleanup(a.close)
            a.start()
            cls.provoke(a)
            a.stop()
            cls.lines[name] = a.log_text().splitlines()
        cls.read = {"logfmt": [logfmt(line) for line in cls.lines["logfmt"]],
                    "json": [from_json(line) for line in cls.lines["json"]]}

    @classmethod
    def raw(cls, a, data):
        with socket.create_connection(("127.0.0.1", a.port), timeout=10) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass

    @classmethod
    def provoke(cls, a):
        agent = f"User-Agent: {HOSTILE}\r\n".encode()
        host = b"Host: a\r\nConnection: close\r\n"
        cls.raw(a, b"GET /nowhere%0alevel=error%20event=root.login HTTP/1.1\r\n" + host + agent + b"\r\n")
        cls.raw(a, b"GET /scep?operation=%0aevent%3droot.login%22 HTTP/1.1\r\n" + host + agent + b"\r\n")
        cls.raw(a, b"GET /scep?operation=PKIOperation&message=AAAA HTTP/1.1\r\n" + host + agent + b"\r\n")
        cls.raw(a, b"PUT /scep HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n\r\n")
        cls.raw(a, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")  # TLS on a plain port
        challenge = a.challenge()
        for n, (subject, secret) in enumerate([
                ("CN=good", challenge), ("CN=late", challenge),
                ('CN=a\\" level\\=error event\\=root.login b', "0000-0000-0000-0000"),
                ("CN=" + "x" * 60 + "".join(f",OU={c * 60}" for c in "abcdefgh"), "0000-0000-0000-0000")]):
            run(SCEPCTL, "client", "enrol", a.url + "/scep", "--subject", subject, "--key", os.path.join(a.home, f"{n}.key"),
                "--out", os.path.join(a.home, f"{n}.pem"), "--challenge-file", "-", input=secret, check=False)

    def events(self, form, event):
        return [f for f in self.read[form] if f["event"] == event]

    def test_every_line_has_its_head(self):
        for form, lines in self.read.items():
            for f in lines:
                self.assertEqual(list(f)[:3], ["ts", "level", "event"], form)
                self.assertRegex(f["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                self.assertIn(f["level"], ("error", "warning", "notice", "info"))
                self.assertNotEqual(f["event"], "root.login")

    def test_one_line_for_each_request(self):
        for form in self.read:
            results = [(f["result"], f.get("reason")) for f in self.events(form, "scep.request")]
            self.assertEqual(results, [("refused", "message.malformed"), ("issued", None), ("refused", "challenge.used"),
                                       ("refused", "challenge.unknown"), ("refused", "challenge.unknown")])
            reasons = [f["reason"] for f in self.events(form, "http.refused")]
            self.assertEqual(reasons, ["http.wrong_path", "http.operation", "http.method", "http.tls"])

    def test_the_same_names_in_both(self):
        for event in ("scep.request", "http.refused", "http.answered", "daemon.started", "daemon.stopped"):
            a, b = self.events("logfmt", event), self.events("json", event)
            self.assertEqual([list(f) for f in a], [list(f) for f in b], event)
            self.assertTrue(a, event)

    def test_fields_of_a_request(self):
        f = [f for f in self.events("json", "scep.request") if f["result"] == "issued"][0]
        for key in "endpoint op tx subject serial challenge template authority peer agent status in out ms".split():
            self.assertIn(key, f)
        self.assertEqual((f["endpoint"], f["op"], f["subject"], f["status"]), ("/scep", "PKCSReq", "CN=good", "200"))
        line = [x for x in self.lines["json"] if '"issued"' in x][0]
        self.assertRegex(line, r'"status":200,"in":\d+,"out":\d+,"ms":\d+\.\d')

    def test_what_clients_send_stays_in_its_field(self):
        for form in self.read:
            f = self.events(form, "http.refused")[0]
            self.assertEqual(f["agent"], HOSTILE)
            self.assertEqual(f["path"], r"/nowhere\x0alevel=error event=root.login")

    def test_long_subjects_are_cut(self):
        for form in self.read:
            longest = max(len(f["subject"]) for f in self.events(form, "scep.request") if "subject" in f)
            self.assertLessEqual(longest, 256)
            self.assertGreater(longest, 200)

    def test_no_challenge_is_in_it(self):
        for lines in self.lines.values():
            self.assertNotIn("0000-0000-0000-0000", "\n".join(lines))


class Journal(unittest.TestCase):
    def test_priorities_and_no_time(self):
        """As journald gives a stream: device and inode of standard error are in JOURNAL_STREAM."""
        for form in ("logfmt", "json"):
            a = Authority(edit=lambda t: t.replace('format = "logfmt"', f'format = "{form}"'))
            self.addCleanup(a.close)
            open(a.log_path, "w").close()
            st = os.stat(a.log_path)
            os.environ["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
            try:
                a.start()
            finally:
                del os.environ["JOURNAL_STREAM"]
            a.stop()
            for line in a.log_text().splitlines():
                m = re.match(r"<([3-7])>(.*)$", line)
                self.assertTrue(m, line)
                f = logfmt(m.group(2)) if form == "logfmt" else from_json(m.group(2))
                self.assertNotIn("ts", f)
                self.assertEqual(int(m.group(1)), {"error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}[f["level"]])


if __name__ == "__main__":
    unittest.main()
