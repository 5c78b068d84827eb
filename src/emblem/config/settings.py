"""What can be set: names, types, defaults and the text of ``--help``. Reads nothing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from emblem.config.numbers import Port, Positive, Seconds, Streams
from emblem.config.passing import ChatSettings, RerankSettings
from emblem.config.upstreams import DeploymentSettings, UpstreamSettings
from emblem.config.values import Expected, expected
from emblem.types import Kind, Lane, OutputType, Overflow, TokenIds

# [upstreams.NAME], [models.NAME], [aliases.NAME], [prices] and the rest: in the file only.
TABLES = ("upstreams", "models", "aliases", "chat", "rerank", "prices")

# Never shown, and without a flag: every program of a machine can read a command line.
SECRETS = ("api_key", "database", "redis", "cache_redis", "console_oidc_secret")


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[models.NAME]``: a model to serve under a name of your own.

    It is here, or elsewhere where there are ``deployments``, or an ``upstream``, which is short for
    one of them. ``space``, ``width``, ``max_length``, ``tokenizer``, ``shortening`` and
    ``normalised`` say of a model that is elsewhere only what is not known of it.
    """

    source: str = ""  # catalogue name, hub repository, or folder; "" means NAME itself
    revision: str | None = None
    overflow: Overflow | None = None
    token_ids: TokenIds | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    variant: str = (
        ""  # such as "quantized": which of several files of weights; "" is what fits best
    )
    backend: Annotated[str, Meta(pattern="^(|openvino|torch)$")] = ""  # "" is what fits best
    load: Annotated[str, Meta(pattern="^(start|use)$")] = "start"  # when it is loaded
    upstream: str = ""  # whose model it is: an [upstreams.NAME]; ``source`` is what it calls it
    deployments: tuple[DeploymentSettings, ...] = ()  # all of them in one space
    space: str = ""  # the declared name of that space, such as openai/text-embedding-3-small
    width: Positive | None = None
    max_length: Positive | None = None  # tokens that it reads at once, with special ones
    tokenizer: str = ""  # what it counts with: cl100k, or a model's name or folder
    shortening: bool | None = None  # whether its makers shorten vectors to their first numbers
    normalised: bool | None = None  # whether it gives unit vectors


class AliasSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[aliases.NAME]``: another name for a model, with whatever an unmodified client can't say."""

    model: str
    dimensions: Positive | None = None
    input_type: Kind | None = None
    output_dtype: OutputType | None = None
    overflow: Overflow | None = None
    priority: Lane | None = None
    token_ids: TokenIds | None = None


def _help(text: str) -> Meta:
    return Meta(description=text)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set. The text beside each field is its ``--help``."""

    host: Annotated[str, _help("address to listen on")] = "127.0.0.1"
    port: Annotated[Port, _help("port to listen on")] = 8080
    home: Annotated[str, _help("folder for models, keys and state")] = ""
    auth: Annotated[bool, _help("ask for an API key; --no-auth listens on loopback only")] = True
    api_key: Annotated[str, _help("a key accepted from the start (kept as its hash)")] = ""

    database: Annotated[
        str, _help("address of the database: postgresql://…; empty is SQLite in the home folder")
    ] = ""
    database_file: Annotated[str, _help("a file that holds that address, for secrets")] = ""
    redis: Annotated[
        str, _help("address of Redis, where several processes count limits: redis://…")
    ] = ""
    redis_file: Annotated[str, _help("a file that holds that address, for secrets")] = ""
    limits_when_redis_is_away: Annotated[
        str,
        Meta(
            pattern="^(refuse|allow)$",
            description="refuse requests with limits, or allow them, counted by each process alone",
        ),
    ] = "refuse"
    limits: Annotated[
        bool, _help("keep keys and teams to their limits; several processes count them in Redis")
    ] = True

    processes: Annotated[
        int,
        Meta(ge=1, le=64, description="processes that answer; several are for static models"),
    ] = 1
    tls_cert: Annotated[str, _help("file of the certificate and its chain (PEM), for https")] = ""
    tls_key: Annotated[str, _help("file of its private key (PEM, PKCS#8)")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], _help("networks of proxies whose X-Forwarded-For and -Proto are believed")
    ] = ()

    default_model: Annotated[str, _help("the model served when nothing else is asked for")] = (
        "all-MiniLM-L6-v2"
    )
    serve: Annotated[
        tuple[str, ...], _help("models to serve: names, hub repositories or folders")
    ] = ()
    overflow: Annotated[
        Overflow, _help("texts longer than the model reads: mean, truncate, error")
    ] = Overflow.MEAN
    token_ids: Annotated[TokenIds, _help("arrays of token ids: cl100k, native or refuse")] = (
        TokenIds.CL100K
    )
    empty_input: Annotated[
        str, Meta(pattern="^(refuse|embed)$", description="empty texts: refuse or embed")
    ] = "refuse"

    sources: Annotated[
        tuple[str, ...], _help("where models are looked for, in order: cache, hub, index")
    ] = ("cache", "hub", "index")
    offline: Annotated[bool, _help("never use the network")] = False

    threads: Annotated[
        int, Meta(ge=0, le=1024, description="threads for the engine; 0 takes the machine's share")
    ] = 0
    streams: Annotated[Streams, _help("rows computed at the same time; 0 chooses")] = 0
    interactive_queue_s: Annotated[
        Seconds, _help("seconds of queued interactive work before refusing")
    ] = 1.0
    bulk_queue_s: Annotated[Seconds, _help("seconds of queued bulk work before refusing")] = 120.0
    device: Annotated[str, _help("where torch computes: auto, cpu, cuda, cuda:1, mps")] = "auto"
    max_model_bytes: Annotated[
        int,
        Meta(ge=0, description="memory for loaded models; 0 takes the machine's share"),
    ] = 0
    max_queue_bytes: Annotated[Positive, _help("bytes of queued work before refusing")] = 1 << 30
    cache_bytes: Annotated[
        int, Meta(ge=0, description="memory for vectors of texts that may come again; 0 keeps none")
    ] = 256 << 20
    cache_disk_bytes: Annotated[
        int,
        Meta(ge=0, description="disk for such vectors, in the home folder; 0 keeps none there"),
    ] = 0
    cache_redis: Annotated[
        str,
        _help('address of a Redis that shares them among servers; "limits" is that of redis'),
    ] = ""
    cache_redis_ttl_s: Annotated[
        int, Meta(ge=1, le=31_536_000, description="seconds that they stay in Redis")
    ] = 86_400
    cache_redis_bytes: Annotated[Positive, _help("bytes that they may take there")] = 1 << 30
    cache_timeout_s: Annotated[
        Seconds, _help("seconds that a request waits for disk or Redis before it does without")
    ] = 0.25

    proof_cosine: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="least cosine of known texts that proves a deployment to be in its space",
        ),
    ] = 0.999
    proof_every_s: Annotated[
        Seconds, _help("seconds between two such proofs of a model that has deployments elsewhere")
    ] = 300.0

    max_inputs: Annotated[Positive, _help("inputs in one request")] = 2048
    max_input_tokens: Annotated[Positive, _help("tokens in one input")] = 8192
    max_request_tokens: Annotated[Positive, _help("tokens in one request")] = 300_000
    max_body_bytes: Annotated[Positive, _help("bytes in one request's body")] = 16 << 20
    max_requests: Annotated[Positive, _help("requests in progress at once")] = 1024
    # Above the 60 s for which proxies and clients commonly keep an idle connection for later use.
    header_timeout_s: Annotated[
        Seconds,
        _help(
            "seconds for a request's headers to arrive, for an idle connection, and for a client to "
            "take something of its answer"
        ),
    ] = 75.0
    body_timeout_s: Annotated[Seconds, _help("seconds for a request's body to arrive")] = 60.0
    request_timeout_s: Annotated[Seconds, _help("seconds for a request to be answered")] = 600.0
    shutdown_timeout_s: Annotated[
        Seconds, _help("seconds for running requests to finish on SIGTERM")
    ] = 30.0
    cors_origins: Annotated[tuple[str, ...], _help("browser origins that may call; * for any")] = ()
    http2: Annotated[bool, _help("accept HTTP/2 too")] = False
    usage_retention_days: Annotated[
        int,
        Meta(ge=0, description="days that each request's record is kept; 0 keeps them all"),
    ] = 90
    log_level: Annotated[
        str,
        Meta(pattern="^(debug|info|warning|error)$", description="debug, info, warning or error"),
    ] = "info"
    log_format: Annotated[
        str, Meta(pattern="^(console|json)$", description="lines to read, or a JSON object a line")
    ] = "console"
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="a port for /metrics without a key; 0 has none"),
    ] = 0
    metrics_host: Annotated[str, _help("address that this port is on")] = "127.0.0.1"
    console: Annotated[bool, _help("serve the console at /console")] = True
    console_proxy_header: Annotated[
        str, _help("header in which a proxy names who is signed in, such as X-Forwarded-User")
    ] = ""
    console_proxy_groups_header: Annotated[
        str, _help("header in which it names their groups, with commas between")
    ] = ""
    console_proxy_addresses: Annotated[
        tuple[str, ...], _help("networks of proxies whose headers of people are believed")
    ] = ()
    console_groups: Annotated[
        tuple[str, ...], _help("what groups open: GROUP=ROLE or GROUP=ROLE:TEAM; * is everybody")
    ] = ()
    console_url: Annotated[
        str, _help("address at which browsers reach this server: https://…, with a prefix if any")
    ] = ""
    console_oidc_issuer: Annotated[
        str, _help("OpenID Connect provider that signs people in to the console: https://…")
    ] = ""
    console_oidc_client_id: Annotated[str, _help("what that provider calls this server")] = ""
    console_oidc_secret: Annotated[str, _help("the secret that it gave for that")] = ""
    console_oidc_secret_file: Annotated[str, _help("a file that holds that secret")] = ""
    console_oidc_scopes: Annotated[tuple[str, ...], _help("what is asked of the provider")] = (
        "openid",
        "profile",
        "email",
    )
    console_oidc_name_claim: Annotated[
        str, _help("claim that names a person, in the audit too")
    ] = "preferred_username"
    console_oidc_groups_claim: Annotated[str, _help("claim that has their groups")] = "groups"
    metrics_per_key: Annotated[bool, _help("count requests and tokens of each key, too")] = False

    upstreams: dict[str, UpstreamSettings] = {}
    models: dict[str, ModelSettings] = {}
    aliases: dict[str, AliasSettings] = {}
    chat: dict[str, ChatSettings] = {}
    rerank: dict[str, RerankSettings] = {}
    prices: dict[str, str] = {}  # of a million tokens, by globs of models' names, in order

    def __repr__(self) -> str:
        """Show everything but secrets: a message or a traceback may hold this."""
        every = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = (
            f"{name}={'…' if value and name in SECRETS else repr(value)}" for name, value in every
        )
        return f"Settings({', '.join(shown)})"


class Shape(StrEnum):
    """How a setting is written on the command line."""

    SWITCH = "switch"  # --name / --no-name
    LIST = "list"  # --name VALUE, as often as needed
    VALUE = "value"  # --name VALUE


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as the command line and the documentation show it.

    ``expects`` says in words which values are right and ``placeholder`` stands for one;
    ``default`` is written as in ``emblem.toml``.
    """

    name: str
    shape: Shape
    expects: str
    placeholder: str
    help: str
    default: str


def describe() -> tuple[Setting, ...]:
    """Give a row for each setting that is a single value or a list, in the order of the struct."""
    return tuple(
        Setting(
            name=field.name,
            shape=_shape(about),
            expects=about.words,
            placeholder=about.placeholder,
            help=about.help,
            default=written(field.default),
        )
        for field in msgspec.structs.fields(Settings)
        if field.name not in TABLES
        for about in (expected(field.type),)
    )


def written(value: object) -> str:
    """Write a value as ``emblem.toml`` has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    return msgspec.json.encode(value).decode()


def _shape(about: Expected) -> Shape:
    if about.is_list:
        return Shape.LIST
    return Shape.SWITCH if about.is_switch else Shape.VALUE
