"""Microsoft Intune as its documentation describes it, for tests: log-in, Graph, the SCEP validation service and the queue of
revocations in one server."""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.parse

from elsewhere import Elsewhere

APPLICATION = "0000000a-0000-0000-c000-000000000000"
TENANT, OTHER_TENANT = "example.onmicrosoft.com", "other.onmicrosoft.com"
CLIENT, SECRET = "11111111-2222-3333-4444-555555555555", "s3cret~ with + and & in it"


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def assertion_fault(assertion, certificate, audience):
    """What is wrong with a client assertion (RFC 7523 section 3), by its certificate (PEM file); None: nothing."""
    try:
        head, claims, signature = assertion.split(".")
        with tempfile.TemporaryDirectory() as d:
            path = lambda name: os.path.join(d, name)  # noqa: E731
            for name, content in (("signature", unpadded(signature)), ("data", f"{head}.{claims}".encode())):
                with open(path(name), "wb") as f:
                    f.write(content)
            der = subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER"], capture_output=True, check=True).stdout
            key = subprocess.run(["openssl", "x509", "-in", certificate, "-pubkey", "-noout"], capture_output=True, check=True).stdout
            with open(path("key"), "wb") as f:
                f.write(key)
            good = subprocess.run(["openssl", "dgst", "-sha256", "-verify", path("key"), "-sigopt", "rsa_padding_mode:pss", "-sigopt",
                                   "rsa_pss_saltlen:digest", "-signature", path("signature"), path("data")], capture_output=True)
        head, claims = json.loads(unpadded(head)), json.loads(unpadded(claims))
        now = time.time()
        wrong = {"signature": good.returncode != 0, "alg": head["alg"] != "PS256" or head["typ"] != "JWT",
                 "x5t": unpadded(head["x5t"]) != hashlib.sha1(der).digest(),
                 "x5t#S256": unpadded(head["x5t#S256"]) != hashlib.sha256(der).digest(), "aud": claims["aud"] != audience,
                 "iss": claims["iss"] != CLIENT, "sub": claims["sub"] != CLIENT, "jti": len(claims["jti"]) != 36,
                 "exp": not now < claims["exp"] <= now + 600, "nbf": not now - 60 < claims["nbf"] <= now + 1}
        return ", ".join(k for k in wrong if wrong[k]) or None
    except (ValueError, KeyError) as e:
        return f"no assertion: {e!r}"


class Intune:
    def __init__(self, tls):
        self.lock = threading.Lock()
        self.tokens, self.token_life, self.issued = {}, 3600, 0
        self.certificate, self.jtis = None, []  # PEM file: who signs in with an assertion; None: with the secret
        self.fabric = "/TrafficGateway/StatelessScepRequestValidationService"
        self.validate = lambda request: "Success"
        self.success = lambda notification: "Success"
        self.before = lambda asked: None  # an answer instead of the real one, for faults
        self.notified, self.failed, self.validated, self.calls, self.bad = [], [], [], [], []
        self.connector = "/TrafficGateway/StatelessPkiConnectorService"
        self.queue, self.reported = {}, []  # by requestContext; what was said of them
        self.given = self.taken = lambda answer: (200, answer)  # may answer something else
        self.server = Elsewhere(self.answer, tls=tls)
        self.url = self.server.url

    def close(self):
        self.server.close()

    def forget(self):
        with self.lock:
            self.tokens.clear()
            for seen in (self.notified, self.failed, self.validated, self.calls, self.bad, self.queue, self.reported):
                seen.clear()
            self.given = self.taken = lambda answer: (200, answer)
            self.validate = self.success = lambda _: "Success"
            self.before = lambda asked: None
            self.token_life = 3600

    def wrong(self, why):
        with self.lock:
            self.bad.append(why)
        return 400, {"error": why}

    def answer(self, asked):
        with self.lock:
            self.calls.append(asked.path)
        early = self.before(asked)
        if early:
            return early
        if asked.path.lower() in (f"/{TENANT}/oauth2/v2.0/token", f"/{OTHER_TENANT}/oauth2/v2.0/token"):
            return self.token(asked)
        who = self.tokens.get(asked.headers.get("Authorization", ""))
        if not who or who[1] < time.monotonic():
            return 401, {"error": {"code": "InvalidAuthenticationToken"}}
        if asked.path == f"/v1.0/servicePrincipals/appId={APPLICATION}/endpoints":
            return self.endpoints(who[0])
        if asked.path.startswith(self.fabric + "/ScepActions/"):
            return self.service(asked, who[0])
        if asked.path.startswith(self.connector + "/CertificateAuthorityRequests/"):
            return self.revocations(asked, who[0])
        return 404, {"error": "no such service"}

    def token(self, asked):
        form = dict(urllib.parse.parse_qsl(asked.body.decode()))
        if asked.headers.get("Content-Type") != "application/x-www-form-urlencoded" or form.get("grant_type") != "client_credentials":
            return self.wrong("the form of the token request")
        if self.certificate and ("client_secret" in form or
                                 form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"):
            return self.wrong("the credential of the token request")
        if self.certificate:
            fault = assertion_fault(form["client_assertion"], self.certificate, f"{self.url}/{TENANT}/oauth2/v2.0/token")
            if fault:
                return 401, {"error": "invalid_client", "error_description": f"AADSTS700027: {fault}"}
            self.jtis.append(json.loads(unpadded(form["client_assertion"].split(".")[1]))["jti"])
        elif (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET) or "client_assertion" in form:
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
        with self.lock:
            self.issued += 1
            token = f"eyJ0.{self.issued}.{base64.b64encode(form['scope'].encode()).decode()}"
            self.tokens["Bearer " + token] = (form["scope"], time.monotonic() + self.token_life)
        return 200, {"token_type": "Bearer", "expires_in": self.token_life, "access_token": token}

    def endpoints(self, scope):
        if scope != self.url + "/.default":
            return self.wrong(f"Graph with a token for {scope}")
        return 200, {"value": [{"providerName": "SomethingElse", "uri": "https://else.example.org/"},
                               {"providerName": "ScepRequestValidationFEService", "uri": self.url + self.fabric},
                               {"providerName": "PkiConnectorFEService", "uri": self.url + self.connector}]}

    @staticmethod
    def wrong_head(asked, scope, version):
        headers = {k.lower(): v for k, v in asked.headers.items()}
        if scope != "https://api.manage.microsoft.com//.default":
            return f"the service with a token for {scope}"
        if headers.get("api-version") != version or headers.get("content-type") != "application/json":
            return "api-version or content-type"
        if len(headers.get("client-request-id", "")) != 36 or not headers.get("useragent"):
            return "client-request-id or UserAgent"
        return None

    def wants_revoked(self, serial, issuer, context=None):
        with self.lock:
            context = context or f"ctx {len(self.queue)}/{serial} \u00fc\""
            self.queue[context] = {"requestContext": context, "serialNumber": serial, "issuerName": issuer, "caConfiguration": "/intune"}
        return context

    def said_of(self, context):
        with self.lock:
            return [r for r in self.reported if r["requestContext"] == context]

    def revocations(self, asked, scope):
        why = self.wrong_head(asked, scope, "5019-05-05")
        if why:
            return self.wrong(why)
        body = json.loads(asked.body)
        if asked.path.endswith("/downloadRevocationRequests"):
            wish = body["downloadParameters"]
            if not 1 <= wish["maxRequests"] <= 500 or "issuerName" not in wish:
                return self.wrong(f"downloadParameters {wish}")
            with self.lock:
                given = list(self.queue.values())[:wish["maxRequests"]]
            return self.given({"@odata.context": "x", "value": given})
        if not asked.path.endswith("/uploadRevocationResults") or not body["results"]:
            return self.wrong("an upload of nothing")
        for r in body["results"]:
            good = r["errorCode"] == "0" if r["succeeded"] is True else r["succeeded"] is False and 4000 <= int(r["errorCode"]) < 4200
            if not good or set(r) != {"requestContext", "succeeded", "errorCode", "errorMessage"}:
                return self.wrong(f"result {r}")
        answer = self.taken({"value": True})
        if answer == (200, {"value": True}):
            with self.lock:
                self.reported += body["results"]
                for r in body["results"]:
                    self.queue.pop(r["requestContext"], None)
        return answer

    def service(self, asked, scope):
        action = asked.path.rpartition("/")[2]
        why = self.wrong_head(asked, scope, "2018-02-20")
        if why:
            return self.wrong(why)
        body = json.loads(asked.body)
        inside = body["request"] if action == "validateRequest" else body["notification"]
        if not base64.b64decode(inside["certificateRequest"], validate=True) or not inside["callerInfo"]:
            return self.wrong("certificateRequest or callerInfo")
        with self.lock:
            {"validateRequest": self.validated, "successNotification": self.notified,
             "failureNotification": self.failed}[action].append(inside)
        said = {"validateRequest": self.validate, "successNotification": self.success,
                "failureNotification": lambda n: "Success"}[action](inside)
        return said if isinstance(said, tuple) else (200, {"code": said, "errorDescription": "" if said == "Success" else "so it is"})
