"""The figures of `docs/scaling.md` as text, from `tests.bench.scaling_model`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tests.bench.report import table
from tests.bench.scaling_model import Model, Need, Shape
from tests.bench.sizing import PRICES

CALLS = (100, 1000, 10_000)

HOURS_A_DAY = 8
"""In which so many calls are held; an example."""

STORE_MEMBERS, STORE_CORES = 3, 2
"""Of MongoDB, and of each member; an example."""


@dataclass(frozen=True)
class Fleet:
    """Nodes of one kind: `speaking` at once is what one bears; its `price` is of an hour."""

    name: str
    speaking: int
    price: float


def text(model: Model, found: list[Fleet], runs: dict[str, Any]) -> str:
    return "\n\n".join(
        [
            conditions(runs),
            "What was measured:",
            measured(model, runs),
            formulas(model.shape),
            "What is computed from it, and was not measured:",
            answers(model, found),
            "Redis in the table above, in shares of its one core (nodes of the first kind):",
            of_redis(model, found[0]),
            f"Up to {most_calls(model, found[0]):,} such calls fit one redis-server.",
        ]
    )


def conditions(runs: dict[str, Any]) -> str:
    about, shared = runs["many"]["machine"], runs["shared"]
    return (
        f"{about['cpu']}, {about['cores']} cores for everything together; {about['date']}, commit "
        f"{about['commit']}; load before {about['load_before']} and "
        f"{shared['machine']['load_before']}, in the runs of `fanout` and `shared_load`."
    )


def measured(model: Model, runs: dict[str, Any]) -> str:
    cost, redis, cluster = model.gateway, runs["shared"]["redis"], runs["shared"]["cluster"]
    store = runs["shared"]["store"]
    batch, rate = max(store["finals_a_second"].items(), key=lambda pair: pair[1])

    def redis_us(what: str) -> str:
        return f"{redis[what]['redis_us']:.0f} µs"

    lines = [
        ["gateway, CPU for a caption that it gets", f"{cost.caption_us:.0f} µs"],
        ["gateway, CPU for a caption that it sends to one socket", f"{cost.delivery_us:.0f} µs"],
        ["gateway, CPU for a client that comes", f"{cost.connect_ms:.1f} ms"],
        ["gateway, memory", f"{cost.mib:.0f} MiB and {cost.kib_a_socket:.0f} KiB a socket"],
        ["Redis, CPU for a partial to two gateways", redis_us("partial")],
        ["Redis, CPU for a final to two gateways", redis_us("final")],
        ["Redis, CPU for a final on its way to the store", redis_us("written")],
        ["Redis, CPU for a change of a call", redis_us("change")],
    ]
    for nodes, row in redis["nodes"].items():
        costs = ", ".join(f"{row[k]['redis_us']:.0f}" for k in ("report", "chores", "reserve"))
        lines.append(
            [
                f"Redis, CPU with {nodes} nodes: a heartbeat, a gateway's chores, a placement",
                f"{costs} µs",
            ]
        )
    for calls, row in redis["summaries"].items():
        name = f"Redis, CPU for the summaries of {calls} calls"
        lines.append([name, f"{row['redis_us'] / 1000:.1f} ms"])
    partial, final = redis["partial"], redis["final"]
    call, kept = redis["bytes_a_call"] / 1024, redis["bytes_a_final"] / 1024
    rates = f"{partial['a_second']:.0f}, {final['a_second']:.0f} (who asked had the cores)"
    in_cluster = ", ".join(f"{cluster[k]['redis_us']:.0f} µs a {k}" for k in ("partial", "final"))
    lines += [
        ["Redis, most seen: partials, finals a second", rates],
        ["Redis, memory", f"{call:.1f} KiB a call of four, {kept:.1f} KiB a final"],
        [f"Redis Cluster of {cluster['masters']} masters and replicas, CPU of all", in_cluster],
        [f"{store['server']}, finals a second in batches of {batch}", f"{rate:.0f}"],
        *of_placement(runs.get("placement")),
    ]
    return table(["what", "measured"], lines)


def of_placement(run: dict[str, Any] | None) -> list[list[str]]:
    """What `tests.bench.placement` found, where it was run."""
    if not run:
        return []
    setup, placing = run["setup"], run["placing"]
    on = f"{setup['calls']} calls on {setup['nodes']} simulated nodes"
    lines = [[f"{on}: placements a second", f"{placing['placements_a_second']:.0f}"]]
    for what, name in (("drains", "a drain"), ("deaths", "a death, its lease included")):
        slowest = max(run[what], key=lambda moved: moved["seconds"])
        lines.append(
            [f"{on}: calls of a node moved after {name}", f"{slowest['seconds']:.1f} s at most"]
        )
    return lines


def formulas(shape: Shape) -> str:
    return (
        "    captions of a call a second   = speaking at once × (partials + finals a second)\n"
        "    gateways that get a caption   = gateways × (1 - (1 - 1 / gateways) ^ sockets a call)\n"
        "    gateway's CPU                 = captions × CPU to get one + deliveries × CPU to send "
        "one\n"
        "                                    + joins + chores + (the one that leads) summaries\n"
        "    nodes                         = calls × speaking at once ÷ (a node bears × planned "
        "load)\n"
        "    Redis's CPU                   = Σ how often × CPU each\n\n"
        f"Here: calls of {shape.people} people, each with a socket, and {shape.viewers} who only "
        f"read; {shape.speaking:g} speak at once on average ({shape.speaking / shape.people:.0%} "
        f"of the time each); {shape.partials_a_second:g} partials and {shape.finals_a_second:g} "
        f"finals a second from who speaks; {shape.minutes:g} minutes a call, "
        f"{shape.changes:g} changes a person in it; everything planned to be {shape.busy:.0%} "
        "full. Example prices are those of [sizing.md](sizing.md): "
        f"${PRICES['cpu']:g} a core-hour and ${PRICES['cuda']:g} a GPU-hour; a gateway and a "
        f"redis-server take a core each, a member of MongoDB {STORE_CORES}. These are "
        "**assumptions**: change them with the options of `tests.bench.scaling`."
    )


def answers(model: Model, found: list[Fleet]) -> str:
    """One column a number of calls. The first fleet, the one of most nodes, sizes the rest."""
    shape = model.shape
    lead = found[0]
    needs = {calls: model.apart(calls, lead.speaking) for calls in CALLS}
    head = ["", *(f"{calls:,} calls" for calls in CALLS)]

    def row(name: str, value: Any) -> list[str]:
        return [name, *(value(calls, *needs[calls]) for calls in CALLS)]

    def gateways(calls: int, apart: int, need: Need) -> str:
        return f"{apart * need.gateways}"

    lines = [
        row("sockets", lambda calls, _a, _n: f"{calls * shape.sockets:,}"),
        row("captions a second", lambda calls, _a, _n: f"{calls * shape.captions:,.0f}"),
        row(
            "deliveries a second",
            lambda calls, _a, _n: f"{calls * shape.captions * shape.sockets:,.0f}",
        ),
        *(
            row(f"nodes, {f.name}", lambda c, _a, _n, f=f: f"{model.nodes(c, f.speaking):,}")
            for f in found
        ),
        row("gateways, a core each, one to spare", gateways),
        row("a gateway's load", lambda _c, _a, need: f"{need.gateway_load:.0%}"),
        row("memory of a gateway, MiB", lambda c, a, n: f"{gateway_mib(model, c, a, n):.0f}"),
        row("deployments apart, each with a Redis of its own", lambda _c, apart, _n: f"{apart}"),
        row("redis-servers (master and replica each)", lambda _c, apart, _n: f"{2 * apart}"),
        row("load of a master's core", lambda _c, _a, need: f"{need.redis_load:.0%}"),
        row("memory of a master, GiB", lambda _c, _a, need: f"{need.redis_bytes / 2**30:.2f}"),
        row("MongoDB members", lambda _c, _a, _n: f"{STORE_MEMBERS}"),
        row("finals a second to MongoDB", lambda c, _a, _n: f"{c * shape.finals:,.0f}"),
        row(
            f"documents of finals a day of {HOURS_A_DAY} hours, GB",
            lambda c, _a, _n: f"{gigabytes_a_day(model, c):,.1f}",
        ),
        row(
            "seconds in which the others take a dead gateway's clients",
            lambda c, a, n: f"{refuge_seconds(model, c, a, n):.1f}",
        ),
        *(
            row(
                f"example price an hour, nodes {f.name}",
                lambda c, a, n, f=f: f"${price(model, f, c, a, n):,.2f}",
            )
            for f in found
        ),
    ]
    return table(head, lines)


def price(model: Model, fleet: Fleet, calls: int, apart: int, need: Need) -> float:
    """Of an hour; cores by the example price of `tests.bench.sizing`."""
    cores = apart * (need.gateways + 2) + STORE_MEMBERS * STORE_CORES
    return model.nodes(calls, fleet.speaking) * fleet.price + cores * PRICES["cpu"]


def gigabytes_a_day(model: Model, calls: int) -> float:
    finals = calls * model.shape.finals * HOURS_A_DAY * 3600
    return float(finals * model.shared["store"]["bytes_a_final"] / 1e9)


def gateway_mib(model: Model, calls: int, apart: int, need: Need) -> float:
    sockets = calls * model.shape.sockets / (apart * need.gateways)
    return model.gateway.mib + sockets * model.gateway.kib_a_socket / 1024


def refuge_seconds(model: Model, calls: int, apart: int, need: Need) -> float:
    """By CPU alone: clients wait 0.5 to 1.5 s before that."""
    sockets = calls * model.shape.sockets / (apart * need.gateways)
    spare = (need.gateways - 1) * (1 - need.gateway_load)
    return sockets * model.gateway.connect_ms / 1000 / spare


def of_redis(model: Model, lead: Fleet) -> str:
    needs = [model.apart(calls, lead.speaking) for calls in CALLS]
    head = ["", *(f"{need.calls:,.0f} calls" for _, need in needs)]
    lines = []
    for what in needs[0][1].redis:
        cells = []
        for _, need in needs:
            often, load = need.redis[what]
            cells.append(f"{load:.1%} ({often:,.0f} a second)" if often >= 1 else f"{load:.1%}")
        lines.append([what, *cells])
    return table(head, lines)


def most_calls(model: Model, lead: Fleet) -> int:
    """On one Redis."""
    low, high = 1, 100_000
    while low < high:
        middle = math.ceil((low + high) / 2)
        if model.fits(middle, lead.speaking):
            low = middle
        else:
            high = middle - 1
    return low
