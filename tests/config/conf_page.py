"""The settings of scepd.conf(5) come from the schema: this compares the page (and the sample) with
`scepctl config schema`.  `conf_page.py --write` puts the settings into the page."""

import json
import os
import re
import subprocess
import sys
import textwrap
import unittest

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = os.path.join(TOP, "docs", "scepd.conf.5")
SAMPLE = os.path.join(TOP, "conf", "scepd.conf.sample")
SCEPCTL = os.path.join(os.environ.get("SCEPD_BUILD", os.path.join(TOP, "build")), "scepd", "scepctl")
BEGIN, END = '.\\" settings, from the schema: begin\n', '.\\" settings, from the schema: end\n'
TITLES = {
    "": "Top of the file",
    "listen": "listen",
    "admin": "admin",
    "api": "api",
    "signer": "signer",
    "store": "store",
    "challenges": "challenges",
    "attempts": "attempts",
    "ocsp": "ocsp",
    "profiles": "profiles",
    "log": "log",
    "authorities": "authorities",
    "authorities.crl": "authorities.crl",
    "authorities.rollover": "authorities.rollover",
    "templates": "templates",
    "endpoints": "endpoints",
    "webhooks": "webhooks",
    "upstreams": "upstreams",
    "ndes": "ndes",
    "challenge_hooks": "challenge_hooks",
}


def schema():
    out = subprocess.run([SCEPCTL, "config", "schema", "--json"], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def quoted(text):
    text = text.replace("\\", "\\e").replace('"', '\\(dq').replace("-", "\\-" if text.startswith("-") else "-")
    return "\\&" + text if text[:1] in (".", "'") else text


def filled(text):
    return "\n".join(quoted(line) for line in textwrap.wrap(text, 76, break_long_words=False, break_on_hyphens=False))


def sentences(text):
    """mdoc wants each sentence on a line of its own."""
    return "\n".join(filled(s) for s in re.split(r"(?<=[.?]) (?=[A-Z])", text))


def rendered():
    lines, last = [], None
    for s in schema():
        section, _, key = s["setting"].rpartition(".")
        if section != last:
            if last is not None:
                lines.append(".El")
            lines += [f".Ss {TITLES[section]}", ".Bl -tag -width Ds"]
            last = section
        if s["type"] == "section":
            lines += [f".It Ic {key}", sentences(s["help"])]
            continue
        lines += [f".It Ic {key} No = Ar {s['type']}", sentences(s["help"])]
        if s["range"]:
            lines += [filled(("One of: " if s["type"].startswith("word") else "Range: ") + s["range"] + ".")]
        if s["default"] == "required":
            lines += ["Required."]
        elif s["default"]:
            lines += ["Default:", f".Li {quoted(s['default']).replace(' ', chr(92) + ' ')}"]
        if s["takes_effect"] == "restart":
            lines += ["A change needs a restart."]
    lines.append(".El")
    return "\n".join(lines) + "\n"


class Page(unittest.TestCase):
    def test_page_is_the_schema(self):
        with open(PAGE) as f:
            text = f.read()
        inside = text.partition(BEGIN)[2].partition(END)[0]
        self.assertEqual(inside, rendered(), "run tests/config/conf_page.py --write")

    def test_sample_names_every_setting(self):
        with open(SAMPLE) as f:
            text = f.read()
        for s in schema():
            key = s["setting"].rpartition(".")[2]
            self.assertRegex(text, rf"\b{re.escape(key)}\b", s["setting"])

    def test_pages_are_clean(self):
        for page in ("scepd.8", "scepctl.1", "scepd.conf.5", "scepd-reasons.7", "scepd-api.7"):
            r = subprocess.run(["mandoc", "-T", "lint", os.path.join(TOP, "docs", page)], capture_output=True, text=True)
            # Whether the other pages are installed on this machine is not the page's fault.
            told = [line for line in r.stdout.splitlines() if "referenced manual not found" not in line and
                    "outdated mandoc.db" not in line]
            self.assertEqual(told, [], page)

    def test_scepctl_page_has_every_verb(self):
        with open(os.path.join(TOP, "docs", "scepctl.1")) as f:
            text = f.read()
        nouns = subprocess.run([SCEPCTL, "--help"], capture_output=True, text=True).stdout
        for noun in re.search(r"Nouns: (.*?)\.", nouns).group(1).split(", "):
            if noun in ("init", "status", "explain"):  # commands themselves
                self.assertIn(f".It Ic {noun}", text)
                continue
            listing = subprocess.run([SCEPCTL, noun], capture_output=True, text=True).stdout
            for verb in re.findall(r"^  (\w+)", listing, re.M):
                self.assertIn(f".It Ic {noun} {verb}", text)
                flags = subprocess.run([SCEPCTL, noun, verb, "-h"], capture_output=True, text=True).stdout
                for flag in re.findall(r"--([a-z-]+)", flags):
                    self.assertRegex(text, rf"Fl -{flag}\b", f"{noun} {verb}")


def write():
    with open(PAGE) as f:
        text = f.read()
    head, _, rest = text.partition(BEGIN)
    text = head + BEGIN + rendered() + END + rest.partition(END)[2]
    with open(PAGE, "w") as f:
        f.write(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        unittest.main()
