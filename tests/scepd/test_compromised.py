"""Somebody has taken over the main process of a real daemon: here a test that takes the process's descriptors, and asks the
signer and the keeper for whatever it likes, past all code of ours.  Needs root, for pidfd_getfd(2)."""

import base64
import ctypes
import fcntl
import glob
import os
import random
import re
import signal
import socket
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import Authority, SCEPCTL, run  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
PIDFD_OPEN, PIDFD_GETFD = 434, 438

# ca/signer_wire.h
SIGNER, MAX_REPLY = 0x73636570, 32768
CERTIFICATE, CRL, ATTRIBUTES, DECRYPT, OCSP = 1, 2, 3, 4, 5
HEAD = struct.Struct("=11I")
REPLY = struct.Struct("=5I")
DONE, REFUSED, ERR_SIGNER, ERR_BUSY = 0, 1, 7, 11
SHA256 = 3 # enum digest
SEALS = 0x2 | 0x4 | 0x8 # shrink, grow, write
# scepd/keeper_wire.h
KEEPER = 0x6b656570
KEEPER_REQUEST = struct.Struct("=5I512s")
KEEP_SIGNER, KEEP_KEEP, KEEP_TEND, KEEP_FILE = 1, 2, 3, 4


def steal(pid, fd):
    """Another process's descriptor, as an own one."""
    p = libc.syscall(PIDFD_OPEN, pid, 0)
    if p < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    got = libc.syscall(PIDFD_GETFD, p, fd, 0)
    os.close(p)
    if got < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return got


def packets(pid):
    """Its SOCK_SEQPACKET sockets."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
            s = socket.socket(fileno=steal(pid, int(name)))
        except OSError:
            continue
        if s.family == socket.AF_UNIX and s.type == socket.SOCK_SEQPACKET:
            found.append(s)
        else:
            s.close()
    return found


def pem_der(path):
    with open(path) as f:
        text = f.read()
    return base64.b64decode("".join(text.split("-----")[2].split()))


def tlv(der, at=0):
    """(header length, content length) of what stands there."""
    n, head = der[at + 1], 2
    if n & 0x80:
        head += n & 0x7F
        n = int.from_bytes(der[at + 2:at + head], "big")
    return head, n


def signed_part(der):
    """The first member of a SEQUENCE: what is signed in a certificate or CRL."""
    start, _ = tlv(der)
    head, n = tlv(der, start)
    return der[start:start + head + n]


class Lane:
    def __init__(self, s):
        self.s, self.sequence = s, 1000

    def raw(self, packet, fds=()):
        if fds:
            socket.send_fds(self.s, [packet], list(fds))
        else:
            self.s.send(packet)
        reply = self.s.recv(MAX_REPLY)
        magic, sequence, kind, reason, length = REPLY.unpack(reply[:REPLY.size])
        assert magic == SIGNER and length == len(reply) - REPLY.size
        return kind, reply[REPLY.size:]

    def ask(self, op, key, data=b"", digest=SHA256, padding=0, hash=0, mgf=0, key_len=0, offset=0, fds=()):
        self.sequence += 1
        return self.raw(HEAD.pack(SIGNER, self.sequence, op, key, digest, padding, hash, mgf, key_len, offset, len(data)) + data, fds)

    def crl(self, key, tbs, seals=SEALS, offset=0):
        fd = os.memfd_create("crl", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, tbs)
        fcntl.fcntl(fd, 1033, seals)
        try:
            return self.ask(CRL, key, offset=offset, fds=[fd])
        finally:
            os.close(fd)


class Intruder(unittest.TestCase):
    extra = ""

    def setUp(self):
        self.a = Authority("rsa2048", edit=lambda text: text.replace("ca_decrypts = true", "ca_decrypts = false")
                           .replace('ra = "none"; ', "") + self.extra)
        self.addCleanup(self.a.close)
        self.a.start()
        self.find()

    def find(self):
        """Lanes to the signer, and the socket to the keeper: they answer a packet of nonsense each in their way."""
        self.lanes, self.keeper = [], None
        for s in packets(self.a.process.pid):
            try:
                s.send(b"\0" * 8)
                reply = s.recv(MAX_REPLY)
            except (BrokenPipeError, ConnectionResetError):
                reply = b""
            if not reply:  # to a signer that has died: the service that had it is about to go
                s.close()
                continue
            if struct.unpack("=I", reply[:4])[0] == KEEPER:
                self.keeper, self.keeper_size = s, len(reply)
            else:
                self.assertEqual(struct.unpack("=I", reply[:4])[0], SIGNER)
                self.lanes.append(Lane(s))
        self.assertGreaterEqual(len(self.lanes), 2)
        self.assertTrue(self.keeper)
        self.lane = self.lanes[0]

    def tearDown(self):
        self.close_lanes()
        self.keeper.close()

    def close_lanes(self):
        for lane in self.lanes:
            lane.s.close()

    def signer(self):
        return int(re.findall(r"event=(?:daemon\.started|signer\.started|daemon\.reloaded) .*\bsigner=(\d+)",
                              self.a.log_text())[-1])

    def enrol(self, name):
        home = tempfile.mkdtemp(dir=self.a.home)
        challenge = os.path.join(home, "challenge")
        with open(challenge, "w") as f:
            f.write(self.a.challenge("-q"))
        pem = os.path.join(home, "cert.pem")
        r = run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", "CN=" + name, "--key",
                os.path.join(home, "key.pem"), "--out", pem, "--challenge-file", challenge, check=False)
        return pem if r.returncode == 0 else None

    def served(self):
        """By the same signer, as if nothing had been."""
        before = self.signer()
        self.assertTrue(self.enrol("honest"), self.a.log_text())
        self.assertEqual(self.signer(), before)
        os.kill(before, 0)

    def forge(self, *args, days="100", subject="/CN=forged", ca=None, ext=""):
        """What the CA's own key would sign, made by openssl: its TBSCertificate."""
        home = tempfile.mkdtemp(dir=self.a.home)
        key, csr, out, conf = (os.path.join(home, n) for n in ("k", "r", "c", "e"))
        ca = ca or (self.a.ca, os.path.join(self.a.home, "keys", "ca.key"))
        with open(conf, "w") as f:
            f.write(ext + "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n") # in the order of ours
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", subject, "-out", csr)
        run("openssl", "x509", "-req", "-in", csr, "-CA", ca[0], "-CAkey", ca[1], "-days", days, "-extfile", conf, "-sha256",
            "-set_serial", "0x" + os.urandom(15).hex().join(["4f", ""]), "-out", out, *args)
        return signed_part(pem_der(out))

    def refuse(self, answer, text, kinds=(REFUSED, ERR_SIGNER)):
        kind, said = answer
        self.assertIn(kind, kinds, said)
        self.assertIn(text, said.decode(errors="replace"))


GOOD = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth\n"


class Certificates(Intruder):
    def test_what_no_template_gives(self):
        ask = lambda tbs: self.lane.ask(CERTIFICATE, 0, tbs)
        self.refuse(ask(self.forge(ext="basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")), "C23")
        self.refuse(ask(self.forge(ext=GOOD.replace("digitalSignature", "cRLSign"))), "C24")
        self.refuse(ask(self.forge(ext=GOOD.replace("keyEncipherment", "dataEncipherment"))), "C37")
        self.refuse(ask(self.forge(ext=GOOD.replace("clientAuth", "serverAuth"))), "C37")
        self.refuse(ask(self.forge(ext=GOOD.replace("clientAuth", "OCSPSigning"))), "C37")
        self.refuse(ask(self.forge(ext=GOOD.replace("clientAuth", "anyExtendedKeyUsage"))), "C26")
        self.refuse(ask(self.forge(ext=GOOD.replace("clientAuth", "clientAuth,codeSigning"))), "C37")
        self.refuse(ask(self.forge(ext=GOOD + "nameConstraints=critical,permitted;DNS:a\n")), "C3")
        self.refuse(ask(self.forge(ext=GOOD, days="20000")), "C1")
        self.refuse(ask(self.forge(ext=GOOD, days="800")), "C18")
        self.refuse(ask(signed_part(pem_der(self.a.ca))), "C")
        self.refuse(ask(signed_part(pem_der(self.a.ra))), "C")
        self.served()

    def test_another_issuer(self):
        home = tempfile.mkdtemp(dir=self.a.home)
        ca, key = os.path.join(home, "ca"), os.path.join(home, "key")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", ca, "-subj", "/CN=Other CA",
            "-days", "1000")
        self.refuse(self.lane.ask(CERTIFICATE, 0, self.forge(ca=(ca, key), ext=GOOD)), "C7")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", ca, "-days", "1000", "-subj",
            "/" + run("openssl", "x509", "-in", self.a.ca, "-noout", "-subject", "-nameopt", "multiline").stdout
            .splitlines()[-1].strip().replace("commonName", "CN").replace(" = ", "="))
        self.refuse(self.lane.ask(CERTIFICATE, 0, self.forge(ca=(ca, key), ext=GOOD)), "C") # the same name, another key
        self.served()

    def test_each_signature_is_in_the_signers_own_log(self):
        """A certificate behind the daemon's back: the daemon's log and store know nothing, the signer's lines do."""
        honest = self.enrol("honest")
        tbs = signed_part(pem_der(honest))
        kind, signature = self.lane.ask(CERTIFICATE, 0, tbs)
        self.assertEqual(kind, DONE, signature)
        lines = re.findall(r"event=signer\.certificate key=0 serial=([0-9a-f]+) sha256=([0-9a-f]{64})", self.a.log_text())
        self.assertEqual(len(lines), 2) # and RSA signs the same in the same way
        self.assertEqual(lines[0], lines[1])
        shown = run("openssl", "x509", "-in", honest, "-noout", "-serial", "-fingerprint", "-sha256").stdout.lower()
        self.assertIn(lines[0][0].lstrip("0"), shown)
        self.assertIn(lines[0][1], shown.replace(":", ""))
        self.close_lanes() # the signer ends with the last end of them
        self.a.stop()
        totals = re.findall(r"event=signer\.totals certificates=(\d+) crls=(\d+) messages=(\d+) decryptions=(\d+) "
                            r"ocsp_answers=0 refused=(\d+) capped=(\d+)", self.a.log_text())
        self.assertEqual(len(totals), 1, self.a.log_text())
        certificates, crls, messages, decryptions, refused, capped = map(int, totals[0])
        self.assertEqual((certificates, crls, messages, decryptions, capped), (2, 1, 1, 1, 0))
        self.assertGreaterEqual(refused, len(self.lanes)) # find() asked nonsense of each


class Keys(Intruder):
    def test_each_does_what_it_is_for(self):
        attributes = bytes.fromhex("3140"
                                   "301806092a864886f70d010903310b06092a864886f70d010701"
                                   "302406092a864886f70d010904311704150000000000000000000000000000000000000000000000")[:66]
        self.refuse(self.lane.ask(ATTRIBUTES, 0, attributes), "key 0 may not sign messages")
        self.refuse(self.lane.ask(DECRYPT, 0, b"\1" * 256, key_len=16), "key 0 may not decrypt")
        self.refuse(self.lane.ask(CERTIFICATE, 1, self.forge(ext=GOOD)), "key 1 may not sign certificates")
        self.refuse(self.lane.crl(1, b"\x30\x00"), "key 1 may not sign CRLs")
        # the OCSP responder's: it answers, and nothing else
        self.refuse(self.lane.ask(CERTIFICATE, 2, self.forge(ext=GOOD)), "key 2 may not sign certificates")
        self.refuse(self.lane.crl(2, b"\x30\x00"), "key 2 may not sign CRLs")
        self.refuse(self.lane.ask(ATTRIBUTES, 2, attributes), "key 2 may not sign messages")
        self.refuse(self.lane.ask(DECRYPT, 2, b"\1" * 256, key_len=16), "key 2 may not decrypt")
        for op in (CERTIFICATE, ATTRIBUTES, DECRYPT):
            self.refuse(self.lane.ask(op, 3, b"\1" * 256), "there is no key 3")
        self.refuse(self.lane.ask(OCSP, 0, b"\1"), "key 0 may not sign OCSP answers")
        self.refuse(self.lane.ask(OCSP, 1, b"\1"), "key 1 may not sign OCSP answers")
        for op in (0, 6, 7, 1 << 31):
            self.refuse(self.lane.ask(op, 0, b"\1"), "unknown request")
        self.served()

    def test_attributes_are_no_certificate(self):
        for data in (self.forge(ext=GOOD), signed_part(self.a.get("/crl/demo.crl")), b"\x31\x00", b"any text"):
            self.refuse(self.lane.ask(ATTRIBUTES, 1, data), "not the signed attributes")

    def test_decryption_tells_nothing(self):
        """Garbage gets a key, always the same one; no second question tells more than the first."""
        for garbage in (b"\0" * 256, b"\1" * 256, os.urandom(255) + b"\0"):
            first = self.lane.ask(DECRYPT, 1, garbage, key_len=16)
            self.assertEqual(first[0], DONE)
            self.assertEqual(len(first[1]), 16)
            self.assertEqual(self.lane.ask(DECRYPT, 1, garbage, key_len=16), first)
            self.assertNotEqual(self.lane.ask(DECRYPT, 1, garbage, key_len=24)[1][:16], first[1])


def response_data(der):
    """What is signed in an OCSPResponse (RFC 6960 section 4.2.1)."""
    at = tlv(der)[0]
    at += sum(tlv(der, at)) # the status
    at += tlv(der, at)[0] # [0]
    at += tlv(der, at)[0] # ResponseBytes
    at += sum(tlv(der, at)) # its type
    at += tlv(der, at)[0] # OCTET STRING
    return signed_part(der[at:])


def batch(*answers):
    return b"".join(struct.pack("=I", len(a)) + a for a in answers)


class Ocsp(Intruder):
    """The CA's own answers by openssl, with keys that a test has: what the responder's key may be asked for."""

    def responder(self):
        """Certificate and key of the one that answers."""
        cert, = glob.glob(os.path.join(self.a.home, "**", "ocsp-*.pem"), recursive=True)
        return cert, cert.replace(".pem", ".key")

    def answer(self, signer, minutes=5, nonce=False):
        home = tempfile.mkdtemp(dir=self.a.home)
        index, request, out = (os.path.join(home, n) for n in ("index", "request", "answer"))
        with open(index, "w") as f:
            f.write("V\t400101000000Z\t\t4F01\tunknown\t/CN=device\n")
        run("openssl", "ocsp", "-issuer", self.a.ca, "-serial", "0x4F01", *([] if nonce else ["-no_nonce"]), "-reqout", request)
        run("openssl", "ocsp", "-index", index, "-CA", self.a.ca, "-rsigner", signer[0], "-rkey", signer[1], "-resp_key_id",
            "-nmin", str(minutes), "-reqin", request, "-respout", out)
        with open(out, "rb") as f:
            return response_data(f.read())

    def test_only_its_own(self):
        own = self.responder()
        good = self.answer(own)
        kind, said = self.lane.ask(OCSP, 2, batch(good, self.answer(own, nonce=True)))
        self.assertEqual(kind, DONE, said)
        ca = (self.a.ca, os.path.join(self.a.home, "keys", "ca.key"))
        self.refuse(self.lane.ask(OCSP, 2, batch(self.answer(ca))), "in another responder's name")
        self.refuse(self.lane.ask(OCSP, 2, batch(good, self.answer(ca))), "in another responder's name")
        self.refuse(self.lane.ask(OCSP, 2, batch(self.answer(own, minutes=31 * 24 * 60))), "outlives its signer")
        self.refuse(self.lane.ask(OCSP, 0, batch(good)), "key 0 may not sign OCSP answers")
        for other in (self.forge(ext=GOOD), signed_part(self.a.get("/crl/demo.crl")), good[:-1], good + b"\0", b"", b"text"):
            self.refuse(self.lane.ask(OCSP, 2, batch(other)), "an OCSP answer that is none")
        self.refuse(self.lane.ask(OCSP, 2, batch(*[good] * 17)), "malformed OCSP answers")
        self.refuse(self.lane.ask(OCSP, 2, good), "malformed OCSP answers")
        # nor is it signed as anything else
        for op, key in ((CERTIFICATE, 0), (ATTRIBUTES, 1)):
            self.refuse(self.lane.ask(op, key, good), "")
        self.refuse(self.lane.crl(0, good), "the signer refused")
        self.served()


class Crls(Intruder):
    def test_only_its_own(self):
        own = signed_part(self.a.get("/crl/demo.crl"))
        kind, said = self.lane.crl(0, own)
        self.assertEqual(kind, DONE, said)
        self.assertEqual(len(re.findall(r"event=signer\.crl key=0 number=[0-9a-f]+ sha256=[0-9a-f]{64}",
                                        self.a.log_text())), 2)
        name = signed_part(pem_der(self.a.ra))
        self.assertIn(b"Test CA", own)
        self.refuse(self.lane.crl(0, own.replace(b"Test CA", b"Test CB")), "another issuer")
        self.refuse(self.lane.crl(0, name), "the signer refused")
        self.refuse(self.lane.crl(0, own[:-1]), "not a TBSCertList")
        self.refuse(self.lane.crl(0, own, seals=0), "not sealed")
        self.refuse(self.lane.crl(0, own, offset=len(own)), "a CRL of")
        self.refuse(self.lane.crl(0, own, offset=0xFFFFFFFF), "a CRL of")
        self.refuse(self.lane.crl(0, own, offset=1), "not a TBSCertList")
        self.served()

    def test_other_files(self):
        for path, flags in (("/dev/zero", os.O_RDONLY), (self.a.ca, os.O_RDONLY), (self.a.home, os.O_RDONLY),
                            ("/proc/self/mem", os.O_RDONLY)):
            fd = os.open(path, flags)
            self.refuse(self.lane.ask(CRL, 0, fds=[fd]), "not sealed")
            os.close(fd)
        self.refuse(self.lane.ask(CRL, 0), "0 descriptors")
        with open("/dev/null") as null:
            self.refuse(self.lane.ask(CRL, 0, fds=[null.fileno()] * 3), "3 descriptors")
            self.refuse(self.lane.ask(CERTIFICATE, 0, b"x", fds=[null.fileno()]), "1 descriptors")
            self.refuse(self.lane.ask(CRL, 0, fds=[null.fileno()] * 200), "too many")
        self.served()


class Packets(Intruder):
    def test_nonsense(self):
        good = HEAD.pack(SIGNER, 1, DECRYPT, 1, SHA256, 0, 0, 0, 16, 0, 256) + b"\1" * 256
        rng = random.Random(1)
        for n in (1, 4, HEAD.size - 1, HEAD.size, HEAD.size + 1, len(good) - 1):
            self.refuse(self.lane.raw(good[:n]), "the signer refused")
        self.refuse(self.lane.raw(good + b"\0"), "malformed packet")
        self.refuse(self.lane.raw(good + b"\0" * 100000), "too many")
        for _ in range(3000):
            packet = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                packet[rng.randrange(HEAD.size)] = rng.randrange(256)
            kind, said = self.lane.raw(bytes(packet[:rng.choice([len(packet), rng.randrange(1, len(packet))])]))
            self.assertIn(kind, (DONE, REFUSED, ERR_SIGNER), said)
        self.served()

    def test_a_lane_that_is_not_read(self):
        """Requests without end whose answers nobody takes: the lane waits, the others serve."""
        packet = HEAD.pack(SIGNER, 1, 99, 0, 0, 0, 0, 0, 0, 0, 0)
        s = self.lanes[1].s
        sent = 0 # never s.setblocking: that would hold for the daemon's descriptor, too
        try:
            while sent < 100000:
                s.send(packet, socket.MSG_DONTWAIT)
                sent += 1
        except BlockingIOError:
            pass
        self.assertLess(sent, 100000)
        self.refuse(self.lane.ask(99, 0), "unknown request")
        for _ in range(sent):
            s.recv(MAX_REPLY)
        self.served()


class Keeper(Intruder):
    def ask(self, op, source=0, lanes=0, path=b""):
        self.keeper.send(KEEPER_REQUEST.pack(KEEPER, 7, op, source, lanes, path))
        reply, fds, _, _ = socket.recv_fds(self.keeper, MAX_REPLY, 8)
        self.assertEqual(len(reply), self.keeper_size)
        return reply[16:].split(b"\0")[0].decode(errors="replace")

    def file(self, path):
        said = self.ask(KEEP_FILE, path=path.encode() if isinstance(path, str) else path)
        if said:
            return said
        _, fds, _, _ = socket.recv_fds(self.keeper, 64, 1)
        with os.fdopen(fds[0]) as f:
            return f.read()

    def test_files(self):
        h = self.a.home
        self.assertIn("authorities", self.file(self.a.conf))
        self.assertIn("BEGIN CERTIFICATE", self.file(h + "/ca/ca.pem"))
        for path in (h + "/keys/ca.key", h + "/keys/ra.key", h + "/ca/../keys/ca.key", h + "/keys/./ca.key", "/etc/shadow",
                     "/proc/self/mem", h + "/store/data.mdb", h, "", b"\xff" * 512):
            self.assertIn("is not for the daemon to read", self.file(path), path)
        self.served()

    def test_no_key_by_another_configuration(self):
        """It cannot write one: the configuration is out of its reach (tests/scepd/test_confinement.c); the keeper reads it
        itself, so what it is told of it does not matter."""
        self.assertIn("no such source", self.ask(KEEP_SIGNER, source=9, lanes=1))
        self.assertIn("0 lanes", self.ask(KEEP_SIGNER, lanes=0))
        self.assertIn("4294967295 lanes", self.ask(KEEP_SIGNER, lanes=0xFFFFFFFF))
        self.assertIn("unknown request", self.ask(77))
        self.keeper.send(b"\0" * 4000)
        self.assertIn(b"malformed", self.keeper.recv(MAX_REPLY))
        self.served()


class Rate(Intruder):
    extra = "signer: { certificates_per_minute = 4; };\n"

    def test_whoever_asks(self):
        tbs = self.forge(ext=GOOD)
        begin = time.monotonic()
        answers = [self.lane.ask(CERTIFICATE, 0, tbs)[0] for _ in range(12)]
        allowed = answers.count(DONE)
        self.assertIn(allowed, range(4, 5 + int(time.monotonic() - begin) // 15), answers)
        self.assertEqual(answers.count(ERR_BUSY), 12 - allowed)
        self.refuse(self.lane.ask(CERTIFICATE, 0, tbs), "more than 4 certificates in a minute", (ERR_BUSY,))
        self.refuse(self.lanes[1].ask(CERTIFICATE, 0, tbs), "more than 4 certificates in a minute", (ERR_BUSY,))
        self.assertIn("event=signer.capped", self.a.log_text())
        # an honest device is told to come back later, and its challenge stays good
        self.assertIsNone(self.enrol("honest"))
        self.assertRegex(self.a.log_text(), r"event=scep\.request .*status=503")
        # another signer gives nothing more
        os.kill(self.signer(), signal.SIGKILL)
        end = time.monotonic() + 60
        while "event=signer.started" not in self.a.log_text() and time.monotonic() < end:
            time.sleep(0.05)
        self.close_lanes()
        self.keeper.close()
        self.find()
        allowed += [self.lane.ask(CERTIFICATE, 0, tbs)[0] for _ in range(12)].count(DONE)
        self.assertLessEqual(allowed, 4 + int(time.monotonic() - begin) // 15)


class Death(Intruder):
    def test_another_signer_and_nothing_lost(self):
        before = [self.enrol("before"), self.signer()]
        os.kill(before[1], signal.SIGSYS) # as the filter ends it
        end = time.monotonic() + 60
        while "event=signer.started" not in self.a.log_text() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertRegex(self.a.log_text(), r"event=signer\.ended signer=\d+ msg=\"the signer process ended \(signal 31\)\"")
        self.assertNotEqual(self.signer(), before[1])
        self.assertTrue(self.enrol("after"))
        self.assertEqual(len(self.a.json("cert", "list")), 2)
        self.assertEqual(self.a.stop(), 0)
        self.a.ctl("store", "verify")


if __name__ == "__main__":
    unittest.main()
