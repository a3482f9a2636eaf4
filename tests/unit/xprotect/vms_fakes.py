"""A site of XProtect as a transport: discovery, an identity provider, and whatever REST a test wants."""

from __future__ import annotations

import base64
import json as jsonlib
from urllib.parse import parse_qs

import anyio
import httpx
import spnego

from tocsin import XProtect
from tocsin.xprotect import BasicUser

URL = "https://vms.example"
PASSWORD = "hunter2 Pässword/:%&+"
TOKEN = "opaque-3f9a2c7e5b1d"
URIS = {
    "ProductVersion": "25.1.1.1",
    "UnsecureManagementServer": "http://vms.example/",
    "SecureManagementServer": "https://vms.example/",
    "IdentityProvider": "https://vms.example/IDP",
    "ApiGateways": ["https://vms.example/API/"],
}
OPENID = {"issuer": "https://vms.example/IDP", "token_endpoint": "https://vms.example/IDP/connect/token"}


def reply(status=200, json=None, headers=(), body=None):
    if body is None:
        body = b"" if json is None else jsonlib.dumps(json).encode()
    return httpx.Response(status, headers=dict(headers), content=body)


def refusal(status, text, text_id=None):
    detail = {"errorText": text, **({"errorTextId": text_id} if text_id else {})}
    return reply(status, {"error": {"httpCode": status, "details": [detail]}})


def granted(text=TOKEN, expires_in=3600):
    return reply(
        json={
            "access_token": text,
            "expires_in": expires_in,
            "token_type": "Bearer",
            "scope": "managementserver",
        }
    )


def denied(code=None, error="invalid_grant"):
    body = {"error": error, "error_description": "invalid_username_or_password"}
    return reply(400, {**body, **({"error_code": code} if code else {})})


class FakeSite(httpx.AsyncBaseTransport):
    """Answers by the path's last words; an entry is a response factory, or a list of them."""

    def __init__(self, **answers):
        self.answers = {
            "uris": lambda: reply(json=URIS),
            "openid-configuration": lambda: reply(json=OPENID),
            "token": granted,
            "rest": lambda: reply(json={"array": []}),
            **answers,
        }
        self.requests = []
        self.forms = []

    def asked(self, word):
        return [request for request in self.requests if request.url.path.endswith(word)]

    async def handle_async_request(self, request):
        self.requests.append(request)
        body = b"".join([piece async for piece in request.stream])
        word = request.url.path.rsplit("/", 1)[-1]
        if word == "token":
            self.forms.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        await anyio.lowlevel.checkpoint()
        step = self.answers.get(word, self.answers["rest"])
        if isinstance(step, list):
            step = step.pop(0) if len(step) > 1 else step[0]
        made = step(request) if getattr(step, "wants_request", False) else step()
        if hasattr(made, "__await__"):
            made = await made
        made.stream = _Stream(made.content)
        return made


class _Stream(httpx.AsyncByteStream):
    def __init__(self, body):
        self.body = body

    async def __aiter__(self):
        yield self.body


def of_request(function):
    function.wants_request = True
    return function


def client(site=None, auth=None, *, url=URL, **options):
    site = site or FakeSite()
    auth = BasicUser("ada", PASSWORD) if auth is None else auth
    return XProtect(url, auth, transport_factory=lambda: site, **options), site


class NtlmDoor:
    """The server's side of one handshake at a time, by pyspnego. Its users stand in ``NTLM_USER_FILE``."""

    def __init__(self, scheme="NTLM", then=granted):
        self.scheme = scheme
        self.then = then
        self.context = None
        self.user = None
        self.messages = []
        self.wants_request = True

    def __call__(self, request):
        shown = request.headers.get("authorization", "")
        if not shown:
            return reply(401, headers={"WWW-Authenticate": self.scheme})
        scheme, _, text = shown.partition(" ")
        assert scheme == self.scheme
        self.messages.append(text)
        message = base64.b64decode(text)
        if message[8] == 1:
            self.context = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
        try:
            challenge = self.context.step(message)
        except spnego.exceptions.SpnegoError:
            return reply(401, headers={"WWW-Authenticate": self.scheme})
        if self.context.complete:
            self.user = self.context.client_principal
            return self.then()
        text = base64.b64encode(challenge).decode()
        self.messages.append(text)
        return reply(401, headers={"WWW-Authenticate": f"{self.scheme} {text}"})
