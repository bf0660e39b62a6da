"""Charts of a run: delay, accuracy and cost over the number of people speaking at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import TARGETS, WINDOWS_TARGET, Figures, Row

COLORS = ("#1f5fbf", "#d9622b", "#2a9d8f", "#8a4fbf", "#b8860b", "#555b66")
GRAY = "#8a8f98"
LONGEST_DELAY_SECONDS = 4.0
"""What is later is drawn at the edge, with its figure: 10 s would flatten all the rest."""


def draw(figures: Figures, folder: Path) -> list[Path]:
    """PNG files; none of what was not measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plain = figures.plain
    drawn = []
    kinds = [("delay", delay), ("accuracy", accuracy)]
    if figures.machine["device"] == "cpu":
        kinds.append(("cost", cost))
    for name, make in kinds:
        if plain:
            figure = make(plt, figures, plain)
            for axes in figure.axes:
                axes.spines[["top", "right"]].set_visible(False)
            drawn.append(folder / f"captions-{name}.png")
            figure.savefig(drawn[-1], dpi=110)
            plt.close(figure)
    return drawn


def names(rows: Sequence[Row]) -> dict[str, str]:
    """Each model with its color."""
    found = list(dict.fromkeys(row.name for row in rows))
    return {name: COLORS[n % len(COLORS)] for n, name in enumerate(found)}


def crowds(rows: Sequence[Row]) -> list[int]:
    return sorted({row.speakers for row in rows})


def delay(plt: Any, figures: Figures, rows: Sequence[Row]) -> Any:
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharex=True)
    at = {count: n for n, count in enumerate(crowds(rows))}
    lines, titles = 0, []
    for axes, kind, title in (
        (panels[0], "word", "a word on the screen, after it was said"),
        (panels[1], "final", "the last words final, after a recording ended"),
    ):
        values = [0.0]
        for name, color in names(rows).items():
            own = sorted((r for r in rows if r.name == name), key=lambda r: r.speakers)
            for quantile, style in (("p95", "-o"), ("p50", "--o")):
                field = f"{kind}_delay_{quantile}"
                points = [(at[r.speakers], v) for r in own if (v := getattr(r, field)) is not None]
                values += [value for _, value in points]
                axes.plot(
                    [x for x, _ in points],
                    [min(value, LONGEST_DELAY_SECONDS) for _, value in points],
                    style,
                    color=color,
                    markersize=5 if quantile == "p95" else 3.5,
                    clip_on=False,
                    label=f"{name}, {quantile}",
                )
        lines = max(lines, beyond(axes, rows, kind, at))
        limit = TARGETS.get(f"{kind}_delay_p95")
        if limit:
            axes.axhline(limit, color="#444444", linewidth=1, linestyle=":")
            axes.annotate(
                f"target, p95: {limit} s",
                (0.01, limit),
                xycoords=("axes fraction", "data"),
                xytext=(0, 4),
                textcoords="offset points",
                color="#444444",
                fontsize=9,
            )
        top = max(0.5, *values, limit or 0.0) * 1.12
        axes.set_ylim(min(0.0, *values) * 1.1, min(top, LONGEST_DELAY_SECONDS))
        titles.append((axes, title))
        axes.set_ylabel("seconds")
        axes.set_xlabel("people speaking at once")
        axes.set_xticks(list(at.values()), [str(count) for count in at])
        axes.set_xlim(-0.3, len(at) - 0.7)
        axes.grid(alpha=0.3)
    for axes, title in titles:
        axes.set_title(title, fontsize=11, pad=8 + 12 * lines)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(names(rows)), frameon=False
    )
    return figure


def beyond(axes: Any, rows: Sequence[Row], kind: str, at: dict[int, int]) -> int:
    """Write the p95 that are off the scale above it; how many lines that took."""
    lines = 0
    for name, color in names(rows).items():
        own = [(row, getattr(row, f"{kind}_delay_p95")) for row in rows if row.name == name]
        late = [(row, value) for row, value in own if (value or 0.0) > LONGEST_DELAY_SECONDS]
        for row, value in late:
            axes.annotate(
                f"↑ {value:.1f} s",
                (at[row.speakers], LONGEST_DELAY_SECONDS),
                xytext=(0, 5 + 12 * lines),
                textcoords="offset points",
                ha="center",
                color=color,
                fontsize=9,
            )
        lines += bool(late)
    return lines


def accuracy(plt: Any, figures: Figures, rows: Sequence[Row]) -> Any:
    """Bars by model and crowd beside faster-whisper's own; with loss, a second panel."""
    lossy = len({row.loss for row in figures.rows}) > 1
    figure, panels = plt.subplots(
        1, 1 + lossy, figsize=(11 if lossy else 8, 4.2), layout="constrained", squeeze=False
    )
    axes = panels[0][0]
    models, counts = names(rows), crowds(rows)
    width = 0.8 / len(counts)
    for n, name in enumerate(models):
        for m, count in enumerate(counts):
            row = next((r for r in rows if (r.name, r.speakers) == (name, count)), None)
            if row is None or row.wer is None:
                continue
            x = n - 0.4 + width * (m + 0.5)
            bar = axes.bar(x, 100 * row.wer, width * 0.9, color=models[name])
            axes.bar_label(bar, [f"{100 * row.wer:.1f}"], fontsize=8, padding=1)
            axes.annotate(
                str(count),
                (x, 0),
                xytext=(0, -11),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        offline_line(axes, figures, next(r for r in rows if r.name == name), n)
    axes.set_xticks(range(len(models)), list(models))
    axes.tick_params(axis="x", length=0, pad=14)
    axes.set_xlim(-0.5, len(models) - 0.5)
    axes.set_ylim(0, max(3.0, *(100 * (r.wer or 0) for r in rows)) * 1.3)
    axes.set_ylabel("word error rate, %")
    axes.set_xlabel("model; above it, people speaking at once")
    axes.set_title("live captions (bars) and the same model offline (lines)", fontsize=11)
    axes.legend(frameon=False, loc="upper right", fontsize=9)
    if lossy:
        by_loss(panels[0][1], figures, models)
    return figure


def offline_line(axes: Any, figures: Figures, row: Row, at: int) -> None:
    reference = figures.reference(row.final_model or row.model)
    if reference:
        axes.hlines(
            100 * reference.wer,
            at - 0.45,
            at + 0.45,
            color="#222222",
            linewidth=1.6,
            label=None if at else "faster-whisper offline, beam of 5",
        )


def by_loss(axes: Any, figures: Figures, models: dict[str, str]) -> None:
    few = min(row.speakers for row in figures.rows)
    for name, color in models.items():
        own = [r for r in figures.rows if (r.name, r.speakers) == (name, few)]
        points = sorted((100 * r.loss, 100 * r.wer) for r in own if r.wer is not None)
        axes.plot(*zip(*points, strict=True), "-o", color=color, label=name)
    axes.set_title(f"with packets lost, {few} speaking", fontsize=11)
    axes.set_xlabel("packets lost, %")
    axes.set_ylabel("word error rate, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def cost(plt: Any, figures: Figures, rows: Sequence[Row]) -> Any:
    """CPU seconds per second of speech, ours beside 30 s windows, a panel a model."""
    models, counts = names(rows), crowds(rows)
    figure, panels = plt.subplots(
        1,
        len(models),
        figsize=(max(6.5, 1.2 + (1.5 + 0.7 * len(counts)) * len(models)), 4.2),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for axes, name in zip(panels[0], models, strict=True):
        for n, count in enumerate(counts):
            row = next((r for r in rows if (r.name, r.speakers) == (name, count)), None)
            if row is None:
                continue
            thirty = figures.thirty(row)
            ours = top = row.recognizer_cpu_seconds / row.speech_seconds
            axes.bar(n - 0.2, ours, 0.36, color=COLORS[0])
            label = f"{ours:.2f}"
            if thirty:
                axes.bar(n + 0.2, thirty / row.speech_seconds, 0.36, color=GRAY, alpha=0.65)
                edge = WINDOWS_TARGET * thirty / row.speech_seconds
                axes.hlines(edge, n - 0.4, n + 0.4, color="#222222", linestyle=":", linewidth=1.4)
                label += f"\n{row.recognizer_cpu_seconds / thirty:.0%}"
                top = max(ours, edge)
            axes.annotate(
                label,
                (n - 0.2, top),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        axes.set_title(name, fontsize=11)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        spare = max(0, 3 - len(counts)) / 2  # a lone bar need not be a wall
        axes.set_xlim(-0.6 - spare, len(counts) - 0.4 + spare)
        axes.set_xlabel("people speaking at once")
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0][0].set_ylabel("recognizer's CPU seconds\nper second of speech")
    keys = [
        plt.Rectangle((0, 0), 1, 1, color=COLORS[0]),
        plt.Rectangle((0, 0), 1, 1, color=GRAY, alpha=0.65),
        plt.Line2D([], [], color="#222222", linestyle=":"),
    ]
    texts = ["ours, and its share", "a 30 s window for each partial"]
    texts.append(f"target: {WINDOWS_TARGET:.0%} of that")
    figure.legend(keys, texts, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure
