"""scepctl completion: words of the table, live identifiers, scripts that the shells accept, and never a secret."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from ctl_case import DONE, USAGE, Seeded, ctl
from harness import SCEPCTL


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

    def test_words_that_the_verbs_take(self):
        """What is offered is what the verbs accept."""
        for noun, flag in (("cert", "state"), ("challenge", "state"), ("request", "state"), ("cert", "sort")):
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
    def test_bash(self):
        script = self.exits(DONE, ctl("completion", "bash")).stdout
        path = os.path.dirname(SCEPCTL) + ":" + os.environ["PATH"]
        ask = script + f'COMP_WORDS=(scepctl -c {self.conf} cert rev); COMP_CWORD=4; _scepctl; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
        r = subprocess.run(["bash", "-eu"], input=ask, capture_output=True, text=True, env={"PATH": path})
        self.assertEqual((r.returncode, r.stdout), (0, "revoke\n"), r.stderr)

    def test_others(self):
        for shell in ("zsh", "fish"):
            script = self.exits(DONE, ctl("completion", shell)).stdout
            self.assertIn("scepctl completion words --" if shell == "fish" else "completion words --", script)
            if shutil.which(shell):
                r = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
                self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.exits(USAGE, ctl("completion", "tcsh"))
        self.exits(USAGE, ctl("completion"))


if __name__ == "__main__":
    unittest.main()
