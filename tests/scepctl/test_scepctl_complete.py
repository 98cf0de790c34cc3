"""scepctl completion: words of the table, live identifiers, scripts that the shells accept, and never a secret."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import DONE, USAGE, Seeded, ctl
from harness import SCEPCTL, need


class Words(Seeded):
    def words(self, *typed):
        r = self.exits(DONE, ctl("completion", "words", "--", "-c", self.conf, *typed))
        self.assertEqual(r.stderr, "")
        return [line.split("\t")[0] for line in r.stdout.splitlines()]

    def test_nouns_verbs_flags(self):
        self.assertEqual(self.words("ce"), ["cert"])
        self.assertIn("completion", self.words(""))
        self.assertEqual(self.words("cert", "re"), ["revoke", "release"])
        self.assertEqual(self.words("certs", "--json", "sho"), ["show"])
        self.assertEqual(self.words("cert", "list", "--exp"), ["--expires-within", "--expiring", "--expect"])
        self.assertEqual(self.words("--js"), ["--json"])
        self.assertEqual(self.words("nonsense", "x", "y"), [])
        self.assertEqual(self.words("store", "purge", "c"), ["challenges", "certs"])
        self.assertEqual(self.words("completion", ""), ["bash", "zsh", "fish"])

    def test_values(self):
        self.assertEqual(self.words("cert", "list", "--state", "re"), ["revoked"])
        self.assertEqual(self.words("request", "list", "--state", "i"), ["issued"])
        self.assertEqual(self.words("cert", "revoke", "--reason", "k"), ["key-compromise"])
        self.assertIn("/scep/manual", self.words("challenge", "new", "--endpoint", "/scep/m"))
        self.assertIn("device", self.words("challenge", "new", "--template", ""))
        self.assertEqual(self.words("--color", "a"), ["auto", "always"])

    def test_live_identifiers(self):
        self.assertEqual(self.words("cert", "show", "40a1"), ["40" + 15 * "a1"])
        self.assertEqual(self.words("cert", "show", "40a1a1a1"), ["40" + 15 * "a1"])
        self.assertEqual(self.words("cert", "release", ""), [])
        self.assertIn("req_cccccc", self.words("request", "approve", ""))
        secret = self.ctl("challenge", "new", "--label", "for\tAnna").stdout.strip()
        r = ctl("completion", "words", "--", "-c", self.conf, "challenge", "revoke", "")
        self.assertRegex(r.stdout, r"^chl_\w+\tfor\\x09Anna\n$")
        self.assertNotIn(secret, r.stdout)
        self.assertEqual(self.words("crl", "show", ""), ["demo"])

    def test_devices_groups_policies(self):
        for name in ("pad-1", "pad two"):
            made = self.ctl("device", "new", name).stdout.strip()
        self.ctl("group", "new", "pads")
        self.ctl("policy", "new", "padlock", "--subject", "CN=%devicename%", "--endpoint", "/scep")
        self.assertEqual(self.words("device", "show", "pad"), ["pad-1"])
        self.assertEqual(self.words("device", "show", ""), [made, "pad-1"])  # by its id: a shell would want the name quoted
        self.assertEqual(self.words("group", "add", "pa"), ["pads"])
        self.assertEqual(self.words("group", "add", "pads", "pad-"), ["pad-1"])
        self.assertEqual(self.words("policy", "assign", "pad"), ["padlock"])
        self.assertEqual(self.words("policy", "assign", "padlock", "pa"), ["pad-1", "pads"])
        self.assertEqual(self.words("challenge", "new", "--policy", ""), ["padlock"])
        self.assertEqual(self.words("device", "new", "pad"), [])

    def test_words_that_the_verbs_take(self):
        """What is offered is what the verbs accept."""
        for noun, flag in (("cert", "state"), ("challenge", "state"), ("request", "state"), ("cert", "sort"), ("device", "state")):
            offered = self.words(noun, "list", "--" + flag, "")
            self.assertGreater(len(offered), 1)
            for word in offered:
                self.exits(DONE, self.ctl(noun, "list", "--" + flag, word))
            r = self.exits(USAGE, self.ctl(noun, "list", "--" + flag, "?"))
            self.assertIn("none of: " + ", ".join(offered), r.stderr)
        offered = self.words("cert", "revoke", "--reason", "")
        r = self.exits(USAGE, self.ctl("cert", "revoke", "40a1a1", "--reason", "?"))
        self.assertIn("none of: " + ", ".join(offered), r.stderr)

    def test_without_a_configuration(self):
        r = ctl("completion", "words", "--", "-c", "/none", "cert", "show", "")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (DONE, "", ""))


class Scripts(Seeded):
    """The scripts in their shells, asked what may follow "cert re"."""

    def ask(self, shell, *options, how):
        need(shell)
        script = self.exits(DONE, ctl("completion", shell)).stdout
        path = os.path.dirname(SCEPCTL) + ":" + os.environ["PATH"]
        file = os.path.join(self.home, "script." + shell)
        with open(file, "w") as f:
            f.write(script)
        r = subprocess.run([shell, *options, "-c", how.format(file=file, conf=self.conf)], capture_output=True, text=True,
                           cwd=self.home, env={"PATH": path, "HOME": self.home})
        self.assertEqual((r.returncode, r.stderr), (0, ""), shell)
        return r.stdout.splitlines()

    def test_bash(self):
        said = self.ask("bash", "-eu", how=". {file}; COMP_WORDS=(scepctl -c {conf} cert re); COMP_CWORD=4; _scepctl; "
                                           "printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        self.assertEqual(said, ["revoke", "release"])

    def test_zsh(self):
        said = self.ask("zsh", "-f", how="compdef() {{ :; }}; _describe() {{ print -l -- $offered }}; . {file}; "
                                         "words=(scepctl cert re); CURRENT=3; _scepctl")
        self.assertEqual([line.split(":")[0] for line in said], ["revoke", "release"])

    def test_fish(self):
        said = self.ask("fish", how="source {file}; complete -C 'scepctl -c {conf} cert rev'")
        self.assertEqual([line.split("\t")[0] for line in said], ["revoke"])

    def test_others(self):
        self.exits(USAGE, ctl("completion", "tcsh"))
        self.exits(USAGE, ctl("completion"))


if __name__ == "__main__":
    unittest.main()
