"""A provider of OpenID Connect that answers as a test has it answer, right or wrong."""

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from emblem.config import Oidc

ISSUER = "https://id.example.com/realm"
CLIENT = "emblem"
SECRET = "s:ec ret%1"
URL = "https://emblem.example.com/prefix"
NOW = 1_800_000_000
SETTINGS = Oidc(ISSUER, CLIENT, URL, SECRET)

KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})
NEWER = ECKey.generate_key("P-256", {"kid": "two", "use": "sig", "alg": "ES256"})


def claims(**changed: Any) -> dict[str, Any]:
    """Give claims that are right, but for what is changed; None leaves one out."""
    right = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "u-1",
        "exp": NOW + 300,
        "iat": NOW,
        "nonce": "n" * 43,
        "preferred_username": "ann",
        "groups": ["staff", "platform"],
    }
    return {name: value for name, value in {**right, **changed}.items() if value is not None}


def signed(content: Mapping[str, Any], key: ECKey = KEY, **header: Any) -> str:
    """Sign claims; ``header`` comes on top of the key's own."""
    own = {"alg": "ES256", "kid": key.kid, **header}
    kept = {name: value for name, value in own.items() if value is not None}
    return jwt.encode(kept, dict(content), key, algorithms=[own["alg"]])


@dataclass
class Pretended:
    """Answers as a provider. ``asked`` are the paths that were asked for, in order.

    ``described``, ``said`` and ``told`` change its description, its ID token and what it says where
    it is asked about somebody; ``status`` is that of its answers by their paths.
    """

    described: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    keys: list[ECKey] = field(default_factory=lambda: [KEY])
    signs_with: ECKey = field(default_factory=lambda: KEY)
    nonce: str = ""
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    def transport(self) -> httpx2.MockTransport:
        """Give what takes its questions."""
        return httpx2.MockTransport(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.status:
            return httpx2.Response(self.status[path], json={})
        return httpx2.Response(
            200, json=getattr(self, path.rpartition("/")[2].replace("-", "_"))(request)
        )

    def openid_configuration(self, _: httpx2.Request) -> dict[str, Any]:
        """Say what it is."""
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/about",
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            **self.described,
        }

    def jwks(self, _: httpx2.Request) -> dict[str, Any]:
        """Give its keys, beside some that nobody understands."""
        strange = [
            {"kty": "PQ"},
            {"kty": "EC", "crv": "nowhere"},
            "no key",
            {"kty": "oct", "k": "AA"},
        ]
        return {"keys": [*strange, *(one.as_dict(private=False) for one in self.keys)]}

    def token(self, request: httpx2.Request) -> dict[str, Any]:
        """Give an ID token for a code."""
        self.forms.append(
            {name: one[0] for name, one in parse_qs(request.content.decode()).items()}
        )
        self.authorizations.append(request.headers.get("authorization", ""))
        content = claims(**{"nonce": self.nonce, **self.said})
        return {"id_token": signed(content, self.signs_with), "access_token": "at-1"}

    def about(self, request: httpx2.Request) -> dict[str, Any]:
        """Say more of somebody to whoever has the access token."""
        assert request.headers["authorization"] == "Bearer at-1"
        return {"sub": "u-1", **self.told}


def by_hand(header: Mapping[str, Any], content: Mapping[str, Any], secret: bytes = b"") -> str:
    """Write a token as no library would: without a signature, or with that of HS256."""
    head, body = (_text(json.dumps(one).encode()) for one in (header, content))
    seal = hmac.digest(secret, f"{head}.{body}".encode(), "sha256") if secret else b""
    return f"{head}.{body}.{_text(seal)}"


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
