"""What manual pages and how-tos show is run, as it stands there, in an authority of its own: the EXAMPLES sections of all manual pages, and
the commands and settings of the pages that somebody new goes by.  What a page has instead of one's own names (addresses, paths, numbers) is
replaced by what there is here; what cannot be run stands in NOT_RUN with its reason.  Neither list may name anything that is not on a page."""

import glob
import os
import re
import shutil
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, free_port, run

DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "docs")
PROGRAMS = ("scepctl", "scepd", "curl", "systemctl", "openssl", "pki", "getcert", "sudo", "build/scepd/scepctl", "./", "FLEET_DEVICES=", "token=", "export ")

# The beginning of a command, by page, and why it is not run here.
NOT_RUN = {
    "README.md": {
        "./quickstart": "installs packages and builds; ./check runs it",
        "./check": "runs this test",
        "pki ": "strongSwan: tests/interop/test_strongswan.py",
        "getcert ": "certmonger: tests/interop/test_certmonger.py",
        "sudo apt ": "packages: scripts/package-life",
        "sudo scepctl init": "packages: scripts/package-life",
        "sudo systemctl": "packages: scripts/package-life",
    },
    "FLEET.md": {"FLEET_DEVICES=": "an hour; 300 devices go this way in tests/fleet/test_devices_campaign.py"},
}


def page_text(name):
    with open(os.path.join(DOCS, "..", name) if name == "README.md" else os.path.join(DOCS, name)) as f:
        return f.read()


def unescaped(line):
    for escape, plain in (("\\(dq", '"'), ("\\ ", " "), ("\\-", "-"), ("\\&", ""), ("\\e", "\\")):
        line = line.replace(escape, plain)
    return line


def manual_blocks(text):
    """The literal blocks, and the runs of displayed lines, of a page's EXAMPLES."""
    section = re.search(r"^\.Sh EXAMPLES\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)
    blocks = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed|((?:^\.Dl [^\n]*\n)+)", section[1] if section else "", re.M | re.S)
    return [unescaped(literal or re.sub(r"^\.Dl ", "", lines, flags=re.M)) for literal, lines in blocks]


def markdown_blocks(text):
    """Fenced ones, and those that are indented behind an empty line."""
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S)
    indented = re.findall(r"(?:\A|\n)\n((?:    [^\n]*\n)+)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return fenced + [re.sub(r"^    ", "", block, flags=re.M) for block in indented]


def blocks(name):
    text = page_text(name)
    return markdown_blocks(text) if name.endswith(".md") else manual_blocks(text)


def commands(block):
    """What a shell would be given: the lines behind prompts where there are prompts, each with those that go on with it.  None: no shell's."""
    lines, out = re.sub(r"\\\n\s*", "", block).splitlines(), []
    prompted = any(re.match(r"[$#] ", line) for line in lines)
    for line in lines:
        if out and re.search(r"(\||&&)\s*$", out[-1]):
            out[-1] += " " + line.strip()
        elif not prompted or re.match(r"[$#] ", line):
            out.append(re.sub(r"^[$#] ", "", line) if prompted else line)
    return out if out and out[0].startswith(PROGRAMS) else None


def settings(page):
    """The blocks that a configuration may have as they are."""
    return [block for block in blocks(page) if re.match(r"\w+ ?[=:] ?[({]|\{ name =", block)]


def with_settings(text, block):
    """The demo's configuration with these in the place of its own; a template alone joins its templates.  The authority is the demo's."""
    block = block.replace('authority = "main"', 'authority = "demo"').rstrip()
    if block.startswith("{ name ="):
        return re.sub(r"^(templates = \(.*?)\s\);", lambda m: f"{m[1]},\n{block} );", text, flags=re.M | re.S)
    for name in re.findall(r"^(\w+) ?[=:]", block, re.M):
        text = re.sub(rf"^{name} ?[=:] ?(\(.*?^(?:\}} )?\)|\{{.*?\}});[^\n]*\n", "", text, flags=re.M | re.S)
    return text + "\n" + block + "\n"


class Shell:
    """An authority and a directory to work in; systemctl starts and stops its daemon."""

    def __init__(self, *init_args, edit=None):
        self.a = Authority("p256", init_args, edit)
        self.dir = tempfile.mkdtemp(prefix="scepd-examples-")
        self.bin = os.path.join(self.dir, ".bin")
        self.pid = os.path.join(self.dir, ".pid")
        os.mkdir(self.bin)
        for name, program in (("scepctl", SCEPCTL), ("scepd", SCEPD)):
            os.symlink(os.path.abspath(program), os.path.join(self.bin, name))
        self.program("systemctl", f"""
            case $1 in
            restart) $0 stop; $0 start ;;
            stop) [ ! -e {self.pid} ] || kill $(cat {self.pid}); while [ -e {self.pid} ] && kill -0 $(cat {self.pid}) 2>/dev/null; do sleep 0.05; done ;;
            start) scepd -c {self.a.conf} </dev/null >>{self.a.log_path} 2>&1 &
                echo $! >{self.pid}
                for i in $(seq 600); do curl -q -s -o /dev/null {self.a.url}/ && exit; sleep 0.05; done
                cat {self.a.log_path}; exit 1 ;;
            esac""")
        self.environment = {"PATH": self.bin + ":" + os.environ["PATH"], "SCEPD_HOME": self.a.home, "HOME": self.dir, "CURL_HOME": self.dir,
                            "LC_ALL": "C.UTF-8"}

    def program(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, "w") as f:
            f.write("#!/bin/bash\n" + text)
        os.chmod(path, 0o755)

    def put(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def run(self, script, check=True):
        return run("bash", "-euo", "pipefail", "-c", script, check=check, env=os.environ | self.environment, cwd=self.dir, timeout=300, errors="replace")

    def enrol(self, name):
        self.put(name + ".challenge", self.a.challenge())
        self.run(f"scepctl client enrol {self.a.url}/scep --subject CN={name} --key {name}.key --out {name}.pem --challenge-file {name}.challenge")

    def close(self):
        try:
            with open(self.pid) as f:
                os.kill(int(f.read()), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass
        shutil.rmtree(self.dir, ignore_errors=True)
        self.a.close()


class Pages(unittest.TestCase):
    maxDiff = None

    def shell(self, *init_args, edit=None, start=True):
        sh = Shell(*init_args, edit=edit)
        self.addCleanup(sh.close)
        if start:
            sh.run("systemctl start scepd")
        return sh

    def each(self, page, sh, replaced=(), before=None):
        """Runs a page's commands from top to bottom; each of `replaced` (a regular expression and what stands for it) has to be there.
        `before`: what is done before the block of that number."""
        unused, unneeded, ran = {pattern for pattern, _ in replaced}, set(NOT_RUN.get(page, {})), 0
        exported = []  # it is one terminal that all is typed in
        for n, block in enumerate(b for b in map(commands, blocks(page)) if b):
            if before and n in before:
                before[n]()
            lines = []
            for line in block:
                why = [start for start in NOT_RUN.get(page, {}) if line.startswith(start)]
                unneeded -= set(why)
                for pattern, by in replaced if not why else ():
                    line, times = re.subn(pattern, by, line)
                    if times:
                        unused.discard(pattern)
                if not why:
                    lines.append(line)
            if lines:
                with self.subTest(page, block=n):
                    print("\n".join(lines), flush=True)
                    sh.run("\n".join(exported + lines))
                    exported += [line for line in lines if line.startswith("export ")]
                    ran += len(lines)
        self.assertEqual(unused, set(), "replaces nothing")
        self.assertEqual(unneeded, set(), "not on the page")
        self.assertGreater(ran, 0)

    def test_what_is_named_is_there(self):
        """Every `scepctl VERB --flag` in running text, of every page."""
        with open(os.path.join(DOCS, "..", "scepctl", "scepctl.c")) as f:
            verbs = set(re.findall(r'^    \{"(\w+)", "(\w*)", "', f.read(), re.M))
        told, named = {}, 0
        for path in [*glob.glob(os.path.join(DOCS, "*.md")), os.path.join(DOCS, "..", "README.md")]:
            with open(path) as f:
                text = re.sub(r"^```.*?^```", "", f.read().split("\n## What is not there")[0], flags=re.M | re.S)
            for code in re.findall(r"`scepctl\s+([a-z][^`]*)`", text):
                first, second = (code.split() + [""])[:2]
                verb = (first, second) if (first, second) in verbs else (first, "")
                with self.subTest(os.path.basename(path), code=code):
                    noun = not second and any(first == v[0] for v in verbs)
                    self.assertTrue(noun or verb in verbs, "no such verb")
                    if verb not in told:
                        told[verb] = run(SCEPCTL, *filter(None, verb), "--help").stdout
                    for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
                        self.assertRegex(told[verb], rf"(?m)^.*{flag}\b")
                named += 1
        self.assertGreater(named, 100)

    # ---- manual pages ----

    def test_no_page_is_left_out(self):
        """Each manual page with examples has its test here, and each of its examples is one of a kind that is run."""
        for path in glob.glob(os.path.join(DOCS, "*.[1-9]")):
            name = os.path.basename(path)
            if blocks(name):
                self.assertTrue(hasattr(self, "test_" + re.sub(r"\W", "_", name)), name)
            for block in blocks(name):
                self.assertTrue(commands(block) or block in settings(name), block)

    def test_scepctl_1(self):
        sh = self.shell()
        for i in range(3):
            sh.enrol(f"lab-{i}")
        sh.enrol("phone")
        serial = sh.a.json("cert", "list", "-s", "CN=phone")[0]["serial"]
        store = os.path.join(sh.a.home, "store")
        os.mkdir(sh.dir + "/backups")  # the package makes it
        self.each("scepctl.1", sh, [
            (r"^scepctl store restore .*", r"\g<0> --yes --expect demo"),
            (r"/var/backups/scepd/scepd-\d{8}T\d{6}Z\.mdb", "$(ls /var/backups/scepd/*.mdb | tail -n 1)"),
            (r"/var/backups/scepd", sh.dir + "/backups"),
            (r"/var/lib/scepd/store", store),
            (r"--expect 214", "--expect 3"),
            (r"5c1f09", serial[:10]),
            (r"http://scep\.example\.org/scep", sh.a.url + "/scep"),
        ], before={3: lambda: sh.run("systemctl start scepd")})
        self.assertTrue(os.path.isdir(store + ".old"))
        states = {c["subject"]: c["state"] for c in sh.a.json("cert", "list", "--limit", "0")}
        self.assertEqual(set(states.values()), {"revoked"}, states)

    def test_scepd_8(self):
        sh = self.shell(start=False)
        port = free_port()
        home = sh.dir + "/srv"
        answers = f"until curl -sf http://127.0.0.1:{port}/scep?operation=GetCACaps; do kill -0 $!; sleep 0.05; done; kill $!; wait $!"
        self.each("scepd.8", sh, [
            (r"/srv/scepd", home),
            (r"--url http://scep\.example\.org", rf"\g<0> --port {port} --admin-port 0 --api-port 0"),
            (r"^scepd .*", rf"\g<0> & {answers}"),
        ])

    def accepts(self, page, secrets=(), certificates=(), replaced=()):
        """What a page has of the configuration, all of it together, is taken by scepd; the files are those that it names."""
        found = settings(page)
        self.assertGreater(len(found), 0, page)
        with self.subTest(page):
            a = Authority("p256", ["--ra-pair"])
            self.addCleanup(a.close)
            with open(a.conf) as f:
                text = f.read()
            for block in found:
                text = with_settings(text, block)
            for pattern, by in replaced:
                self.assertRegex(text, pattern)
                text = re.sub(pattern, by, text)
            with open(a.conf, "w") as f:
                f.write(text)
            for name in secrets:
                with open(os.open(os.path.join(a.home, name), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                    f.write("a-secret-for-a-server-elsewhere\n")
            for name in certificates:
                shutil.copy(a.ca, os.path.join(a.home, name))
            if "api.pem" in text:
                run(SCEPCTL, "-c", a.conf, "ca", "tls", "--host", "scepd.example.org")
            run(SCEPD, "-c", a.conf, "--check-config")

    def test_scepd_conf_5(self):
        self.accepts("scepd.conf.5")

    def tls(self, host, block):
        """An authority with these settings, among them an API that speaks TLS under that name, as curl finds it."""
        port = free_port()
        block = re.sub(r'address = "[\d.]+"; port = 8443', f'address = "127.0.0.1"; port = {port}', block)
        self.assertIn(str(port), block)
        sh = self.shell("--ra-pair", edit=lambda text: with_settings(text, block), start=False)
        shutil.copy(sh.a.ca, sh.dir + "/ca.pem")
        sh.put(".curlrc", f"connect-to = {host}:8443:127.0.0.1:{port}\nfail\ncacert = ca.pem\n")
        return sh

    def test_scepd_api_7(self):
        sh = self.tls("scepd.example.org", settings("API.md")[0])
        os.unlink(sh.dir + "/ca.pem")
        self.each("scepd-api.7", sh)

    # ---- how-tos ----

    def test_readme(self):
        self.assertLessEqual(page_text("README.md").count("\n"), 150)
        sh = self.shell("--api-port", free_port())
        del sh.environment["SCEPD_HOME"]  # the page sets it
        sh.environment["PATH"] = os.environ["PATH"]
        os.makedirs(sh.dir + "/build")
        os.symlink(sh.bin, sh.dir + "/build/scepd")
        os.symlink(sh.a.home, sh.dir + "/demo")
        self.each("README.md", sh, [
            (r"challenge new$", r"\g<0> >challenge"),
            (r"--challenge-file -$", "--challenge-file challenge"),
            (r"http://127\.0\.0\.1:8080", sh.a.url),
            (r"cert revoke 5c1f09", "cert revoke --yes $(scepctl cert list -s CN=my-device --ids)"),
            (r"device retire", r"\g<0> --yes"),
            (r"--home /etc/scepd", f"--home {sh.dir}/etc"),
            (r"http://scep\.example\.org/scep", sh.a.url + "/scep"),
        ])
        states = {c["subject"]: c["state"] for c in sh.a.json("cert", "list")}
        self.assertEqual(states, {"CN=my-device": "revoked"})

    def test_api(self):
        sh = self.shell("--api-port", api := free_port())
        sh.environment["URL"] = f"http://127.0.0.1:{api}"
        sh.environment["TOKEN"] = sh.run("scepctl admin new anna --role administrator -q; scepctl admin token new anna -q").stdout.split()[-1]
        self.each("API.md", sh)

    def test_fleet(self):
        sh = self.shell()
        csv = next(b for b in blocks("FLEET.md") if b.startswith("name,"))
        sh.put("fleet.csv", csv)
        self.each("FLEET.md", sh)
        with open(sh.dir + "/out.csv") as f:
            self.assertIn("ipad-0114", f.read())

    def test_profiles(self):
        self.each("PROFILES.md", self.shell())

    def test_ndes(self):
        self.accepts("NDES.md", replaced=[('endpoint = "/scep/apple"', 'endpoint = "/scep/ndes"')])
        sh = self.tls("scep.example.org", settings("NDES.md")[0])
        self.each("NDES.md", sh, [
            (r"^scepctl ca tls [^#]*", r"\g<0>; systemctl start scepd "),
            (r"^(scepctl admin token new .*)", r"\1 -q >token"),
            (r"--user mdm", '--user "mdm:$(cat token)"'),
        ])

    def test_settings(self):
        self.accepts("API.md")
        self.accepts("UPSTREAM.md", ["keys/ndes"], ["ndes-issuing-ca.pem"])
        self.accepts("WEBHOOKS.md", ["keys/inventory"])
        self.accepts("INTUNE.md", ["keys/intune"])

    def test_ocsp(self):
        sh = self.shell()
        sh.enrol("device")
        sh.run("scepctl ca export >ca.pem")
        self.each("OCSP.md", sh, [(r"http://ca\.example\.org:8080", sh.a.url)])

    def test_probe(self):
        sh = self.shell()
        self.each("PROBE.md", sh, [(r"http://scep\.example\.org", sh.a.url)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
