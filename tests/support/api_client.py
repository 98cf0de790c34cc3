"""A client of the REST API for tests, which holds every answer against the OpenAPI document: what is not in it is a failure."""

import http.client
import json
import os
import re
import unittest
import urllib.parse

import jsonschema

from harness import Authority, free_port, run

SEED_API = os.environ.get("SCEPD_SEED_API", "")
ROOT = "/api/v1"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        kind = headers.get("Content-Type", "")
        self.json = json.loads(body, object_pairs_hook=once) if body and re.search(r"[/+]json$", kind.split(";")[0]) else None

    def __getitem__(self, name):
        return self.json[name]


def once(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise AssertionError(f"a member twice: {names}")
    return dict(pairs)


class Document:
    """What the daemon says of itself."""

    def __init__(self, text):
        self.whole = json.loads(text, object_pairs_hook=once)
        self.operations = []
        for path, methods in self.whole["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path)) + "$")
            for method, op in methods.items():
                self.operations.append({"method": method.upper(), "path": path, "pattern": pattern, **self.resolved(op)})

    def find(self, method, path):
        path = path.split("?")[0]
        fitting = [o for o in self.operations if o["pattern"].match(path)]
        fitting.sort(key=lambda o: o["path"].count("{"))
        best = [o for o in fitting if o["path"].count("{") == fitting[0]["path"].count("{")] if fitting else []
        return next((o for o in best if o["method"] == ("GET" if method == "HEAD" else method)), None)

    def resolved(self, part):
        """The part with what it refers to in the places where it does."""
        if isinstance(part, list):
            return [self.resolved(p) for p in part]
        if not isinstance(part, dict):
            return part
        if "$ref" not in part:
            return {name: self.resolved(p) for name, p in part.items()}
        start, *steps = part["$ref"].split("/")
        if start != "#":
            raise AssertionError(f"refers to elsewhere: {part}")
        found = self.whole
        for step in steps:
            found = found[step]
        return self.resolved({**found, **{name: p for name, p in part.items() if name != "$ref"}})

    def schema(self, part):
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **part}

    def problem(self):
        return self.schema(self.resolved(self.whole["components"]["schemas"]["Problem"]))

    def check(self, method, path, a):
        """AssertionError when the answer is not what the document says."""
        where = f"{method} {path}: {a.status} {a.body[:2000]!r}"
        if a.status >= 400:
            if a.headers.get("Content-Type") != "application/problem+json":
                raise AssertionError(f"no problem document: {where}")
            if method != "HEAD":
                validate(a.json, self.problem(), where)
                if a.json["status"] != a.status or not a.json.get("fix") or not a.json.get("detail"):
                    raise AssertionError(f"a problem without fix or detail: {where}")
            return
        op = self.find(method, path)
        if op is None:
            raise AssertionError(f"not in the document: {where}")
        told = op["responses"].get(str(a.status))
        if told is None:
            raise AssertionError(f"this status is not in the document: {where}")
        content = told.get("content", {})
        kind = a.headers.get("Content-Type", "").split(";")[0]
        if method == "HEAD" or (not content and not a.body) or a.status == 304:
            return
        if kind not in content:
            raise AssertionError(f"{kind} is not in the document: {where}")
        if kind == "application/json":
            validate(a.json, self.schema(content[kind]["schema"]), where)


def validate(value, schema, where):
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        raise AssertionError(f"{error.json_path}: {error.message}: {where}")


class Api:
    """`token` as seed_api made it; None: nobody.  `wanders`: each call comes from another address, for those who are refused so often
    that one address would be slowed down."""

    steps = 0

    def __init__(self, port, token=None, document=None, wanders=False):
        self.port, self.token, self.document, self.wanders = port, token, document, wanders
        self.connection = None

    def source(self):
        if not self.wanders:
            return None
        self.close()
        Api.steps += 1
        return (f"127.1.{Api.steps // 250}.{Api.steps % 250 + 1}", 0)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def raw(self, method, path, body=None, headers=()):
        """On a connection that stays; once anew when the server has closed it meanwhile."""
        sent = dict(headers)
        if self.token:
            sent.setdefault("Authorization", "Bearer " + self.token)
        for attempt in (0, 1):
            source = self.source()
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=source)
            try:
                self.connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in sent.items():
                    self.connection.putheader(name, value)
                if body is not None:
                    self.connection.putheader("Content-Length", str(len(body)))
                self.connection.endheaders(body)
                r = self.connection.getresponse()
                answer = Answer(r.status, r.headers, r.read())
                if r.headers.get("Connection", "").lower() == "close":
                    self.close()
                return answer
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if attempt:
                    raise

    def __call__(self, method, path, body=None, etag=None, **headers):
        """`body`: anything that is JSON, or bytes as they are."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        if etag:
            sent["If-Match"] = etag
        a = self.raw(method, ROOT + path, body, sent)
        if self.document:
            self.document.check(method, ROOT + path, a)
        return a

    def get(self, path, **headers):
        return self("GET", path, **headers)

    def all(self, path):
        """Every item of a list, page by page."""
        items, cursor = [], ""
        while cursor is not None:
            page = self.get(path + ("&" if "?" in path else "?") + "cursor=" + urllib.parse.quote(cursor) if cursor else path)
            if page.status != 200:
                raise AssertionError(f"{path}: {page.status} {page.body!r}")
            items += page["items"]
            cursor = page["next"]
        return items


class ApiAuthority(Authority):
    """An authority whose API listens on loopback, with a token of each role in `tokens`."""

    def __init__(self, key="p256", init_args=(), edit=None, api=""):
        self.api_port = free_port()

        def with_api(text):
            text = edit(text) if edit else text
            text = re.sub(r"^api\s*[:=]\s*\{[^}]*\};?[^\n]*$", "", text, flags=re.M)
            return text + f"\napi: {{ address = \"127.0.0.1\"; port = {self.api_port}; {api} }};\n"

        super().__init__(key, init_args, with_api)
        store = self.json("config", "show")[0]["store"]
        self.tokens = json.loads(run(SEED_API, store).stdout)

    def document(self):
        return Document(Api(self.api_port).raw("GET", ROOT + "/openapi.json").body)

    def as_role(self, role, document=None, wanders=False):
        return Api(self.api_port, self.tokens.get(role), document, wanders)

    def enrol(self, name, endpoint="/scep", wait=None, challenge=None):
        """A device that gets its certificate, or is told to wait."""
        base = os.path.join(self.home, name)
        more = ["--wait", wait] if wait else []
        given = challenge or (self.challenge() if endpoint == "/scep" else "")
        with open(base + ".challenge", "w") as f:
            f.write(given + "\n")
        return self.ctl("client", "enrol", self.url + endpoint, "--subject", f"CN={name}", "--key", base + ".key", "--out", base + ".pem",
                        *(["--challenge-file", base + ".challenge"] if given else []), *more, check=False)


class ApiCase(unittest.TestCase):
    """Tests against one daemon `a`, which says of itself `document`, in the name of somebody of ROLE: `api`; None: of nobody."""

    ROLE = "administrator"

    @classmethod
    def setUpClass(cls):
        cls.a = ApiAuthority()
        cls.addClassCleanup(cls.a.close)
        cls.a.start()
        cls.document = cls.a.document()
        cls.api = cls.caller(cls.ROLE)

    @classmethod
    def caller(cls, role, wanders=False):
        api = cls.a.as_role(role, cls.document, wanders)
        cls.addClassCleanup(api.close)
        return api
