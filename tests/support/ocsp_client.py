"""An OCSP client of raw octets: requests as odd as wanted, HTTP as it was sent, answers read down to what a test looks at.
`openssl ocsp` judges signatures where that matters (judge)."""

import base64
import hashlib
import socket
import urllib.parse

from harness import run

HASHES = {"sha1": "2b0e03021a", "sha256": "608648016503040201", "sha384": "608648016503040202", "sha512": "608648016503040203"}
NONCE = bytes.fromhex("2b0601050507300102")
STATUS = {0: "successful", 1: "malformed_request", 2: "internal_error", 3: "try_later", 6: "unauthorized"}


def tlv(tag, *parts):
    content = b"".join(parts)
    n = len(content)
    if n < 0x80:
        length = bytes([n])
    else:
        octets = n.to_bytes((n.bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def sequence(*parts):
    return tlv(0x30, *parts)


def octets(content):
    return tlv(0x04, content)


def members(der):
    """(tag, content) of everything in a row of TLVs."""
    at = 0
    while at < len(der):
        tag, n, head = der[at], der[at + 1], 2
        if n & 0x80:
            head += n & 0x7F
            n = int.from_bytes(der[at + 2:at + head], "big")
        yield tag, der[at + head:at + head + n]
        at += head + n


class Issuer:
    """What CertIDs are made of."""

    def __init__(self, pem=None, der=None):
        if pem:
            with open(pem) as f:
                der = base64.b64decode("".join(f.read().split("-----")[2].split()))
        tbs = list(members(next(members(next(members(der))[1]))[1]))
        tbs = tbs[1:] if tbs[0][0] == 0xa0 else tbs
        self.subject = sequence(tbs[4][1])
        self.key = list(members(tbs[5][1]))[1][1][1:]

    def cert_id(self, serial, hash_name="sha1", null=True):
        """`serial`: hex, as openssl prints it."""
        number = int(serial, 16)
        content = number.to_bytes(number.bit_length() // 8 + 1, "big")
        algorithm = sequence(tlv(0x06, oid(hash_name)), *([tlv(0x05)] if null else []))
        name, key = (hashlib.new(hash_name, x).digest() for x in (self.subject, self.key))
        return sequence(algorithm, octets(name), octets(key), tlv(0x02, content))


def oid(hash_name):
    return bytes.fromhex(HASHES[hash_name])


def request(*ids, nonce=None, extensions=()):
    """`nonce`: the octets asked to be repeated; `extensions`: more of them, whole."""
    asked = sequence(*(sequence(i) for i in ids))
    every = list(extensions)
    if nonce is not None:
        every.append(sequence(tlv(0x06, NONCE), octets(octets(nonce))))
    return sequence(sequence(asked, *([tlv(0xa2, sequence(*every))] if every else [])))


def path_of(der, prefix="/ocsp", quote=True):
    text = base64.b64encode(der).decode()
    return prefix + "/" + (urllib.parse.quote(text, safe="") if quote else text)


class Answer:
    """An OCSPResponse: status "successful" or an error's; of a successful one what it says of each certificate."""

    def __init__(self, der):
        self.der = der
        parts = list(members(next(members(der))[1]))
        self.status = STATUS[parts[0][1][0]]
        self.said, self.nonce = [], None
        if self.status != "successful":
            assert len(der) == 5, der.hex()
            return
        basic = next(members(list(members(next(members(parts[1][1]))[1]))[1][1]))[1]
        data = list(members(list(members(basic))[0][1]))
        data = [d for d in data if d[0] != 0xa0]
        self.produced_at = data[1][1].decode()
        for _, single in members(data[2][1]):
            fields = list(members(single))
            self.said.append({0x80: "good", 0xa1: "revoked", 0x82: "unknown"}[fields[1][0]])
            self.this_update = fields[2][1].decode()
            self.next_update = next(members(fields[3][1]))[1].decode()
        for tag, content in data[3:]:
            for _, e in members(next(members(content))[1]):
                name, value = list(members(e))[0][1], list(members(e))[-1][1]
                if tag == 0xa1 and name == NONCE:
                    self.nonce = next(members(value))[1]


class Reply:
    """One HTTP reply."""

    def __init__(self, status, head, body):
        self.status, self.head, self.body = status, head, body

    def __getitem__(self, name):
        return self.head.get(name.lower())

    def answer(self):
        assert self.status == 200, (self.status, self.body)
        assert self["Content-Type"] == "application/ocsp-response", self.head
        assert int(self["Content-Length"]) == len(self.body)
        for name in ("Transfer-Encoding", "Content-Encoding"):
            assert self[name] is None, self.head
        return Answer(self.body)


class Connection:
    """Octets out, replies in."""

    def __init__(self, port, source=None):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0) if source else None)
        self.buffer = b""

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def more(self):
        data = self.s.recv(65536)
        self.buffer += data
        return bool(data)

    def read(self, body=True):
        """None: it ended instead.  `body` False: of a HEAD."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            assert name.lower() not in fields, line
            fields[name.lower()] = value.strip()
        status = int(lines[0].split()[1])
        if status == 100:
            return self.read(body)
        n = int(fields.get("content-length", 0)) if body and status != 304 else 0
        while len(self.buffer) < n:
            assert self.more(), "the body ended too early"
        content, self.buffer = self.buffer[:n], self.buffer[n:]
        return Reply(status, fields, content)

    def ended(self):
        """True when the server has closed, with nothing behind."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        return self.buffer == b""

    def close(self):
        self.s.close()


def exchange(port, data, body=True, source=None):
    c = Connection(port, source)
    try:
        c.send(data)
        return c.read(body)
    finally:
        c.close()


def get(port, path, *lines, method="GET"):
    head = "".join(line + "\r\n" for line in lines)
    return exchange(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n", body=method != "HEAD")


def post(port, der, *lines, path="/ocsp", version="1.1", source=None):
    """`source`: the address it comes from."""
    head = "".join(line + "\r\n" for line in lines)
    return exchange(port, f"POST {path} HTTP/{version}\r\nHost: x\r\n{head}Content-Length: {len(der)}\r\n\r\n".encode() + der,
                    source=source)


def judge(der, ca, cert, directory):
    """What `openssl ocsp` says of an answer about `cert`: signature, responder, times."""
    file = directory + "/answer.der"
    with open(file, "wb") as f:
        f.write(der)
    r = run("openssl", "ocsp", "-respin", file, "-issuer", ca, "-cert", cert, "-CAfile", ca, check=False)
    assert "Response verify OK" in r.stderr, r.stdout + r.stderr
    return r.stdout.split(": ", 1)[1].split()[0]
