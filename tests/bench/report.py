"""Tables of a run, in Markdown: `captions.md`, and the charts beside it.

python -m tests.bench.report .cache/bench/captions.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import WINDOWS_TARGET, Figures, Reference, Row, read


def number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def pair(one: float | None, other: float | None) -> str:
    return f"{number(one)} / {number(other)}"


def overload(row: Row) -> str:
    """What participants were told, and how far the server went."""
    if not row.degraded and not row.load_level:
        return "no"
    told = "; ".join(reason for reason in row.degraded if reason) or "not told"
    return f"level {row.load_level}: {told}" if row.load_level else told


def one_line(figures: Figures, row: Row) -> str:
    """For a reader who waits."""
    share = figures.window_share(row)
    lost = row.audio_lost_seconds + row.audio_missing_seconds + row.audio_dropped_seconds
    network = f", {row.loss:.0%} of packets lost" if row.loss else ""
    parts = [
        f"{row.name}, {row.speakers} at once{network}",
        f"WER {number(row.wer, 3)} ({row.words_added} words added)",
        f"word {pair(row.word_delay_p50, row.word_delay_p95)} s",
        f"final {pair(row.final_delay_p50, row.final_delay_p95)} s",
        f"erasure {number(row.erasure)}",
        f"CPU s/min server {row.a_minute(row.server_cpu_seconds):.1f}",
        f"recognizer {row.a_minute(row.recognizer_cpu_seconds):.1f}",
        f"MiB {row.server_memory_mib} + {row.recognizer_memory_mib}",
        f"audio lost {lost:.1f} s",
        f"overload {overload(row)}",
        f"of 30 s windows {'–' if share is None else f'{share:.0%}'}",
    ]
    noise = "" if row.quiet else f" [NOISY: {row.elsewhere_cores:.1f} cores busy elsewhere]"
    return " | ".join(parts) + noise


def one_line_offline(reference: Reference) -> str:
    return (
        f"{reference.model} offline | WER {reference.wer:.3f} (greedy {reference.wer_greedy:.3f})"
        f" | CPU s/s {reference.cpu_a_second:.2f} (greedy {reference.cpu_a_second_greedy:.2f})"
        f" | a 30 s window {reference.window_cpu_seconds * 1000:.0f} ms of CPU"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is text, the others are figures."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def markdown(figures: Figures) -> str:
    rows = figures.rows
    lossy = any(row.loss for row in rows)
    parts = [conditions(figures), accuracy_table(figures, rows), cost_table(rows)]
    if any(r.degraded or r.load_level or r.skipped_seconds or lossy for r in rows) or any(
        r.audio_lost_seconds + r.audio_dropped_seconds + r.audio_missing_seconds for r in rows
    ):
        parts.append(trouble_table(rows))
    if figures.machine["device"] == "cpu":  # on CUDA a process's CPU is mostly waiting
        parts.append(windows_table(figures))
    return "\n\n".join([*parts, offline_table(figures)]) + "\n"


def conditions(figures: Figures) -> str:
    about = figures.machine
    gpu = f"{about['gpu']}, " if about["gpu"] else "no GPU, "
    noisy = [row for row in figures.rows if not row.quiet]
    said = (
        f"`make bench`, {about['date']}, commit {about['commit'] or 'unknown'}: {about['cpu']}, "
        f"{about['cores']} cores, {about['memory_gib']} GiB, {gpu}{about['os']}, Python "
        f"{about['python']}, faster-whisper {about['faster-whisper']}, CTranslate2 "
        f"{about['ctranslate2']}, onnxruntime {about['onnxruntime']}; recognizer on "
        f"{about['device']}; load before "
        f"{about['load_before']}; {speech(figures)}. Participants and server share the cores."
    )
    if noisy:
        most = max(row.elsewhere_cores for row in noisy)
        said += (
            f" **Noisy**: in {len(noisy)} of {len(figures.rows)} runs other programs kept up to "
            f"{most:.1f} cores busy."
        )
    return said


def speech(figures: Figures) -> str:
    """What was said."""
    recordings = figures.machine["recordings"]
    seconds = {row.speech_seconds / row.speakers for row in figures.rows}
    return f"{recordings}, {max(seconds, default=0):.0f} s of English a participant"


def lead(row: Row, *, lossy: bool) -> list[str]:
    return [row.name, str(row.speakers)] + [f"{row.loss:.0%}"] * lossy


def lead_head(*, lossy: bool) -> list[str]:
    return ["model", "at once"] + ["packets lost"] * lossy


def accuracy_table(figures: Figures, rows: Sequence[Row]) -> str:
    lossy = any(row.loss for row in rows)
    head = [*lead_head(lossy=lossy), "WER", "words added", "offline", "word delay p50 / p95, s"]
    head += ["final delay p50 / p95, s", "erasure", "partials", "finals"]
    lines = []
    for row in rows:
        reference = figures.reference(row.final_model or row.model)
        lines.append(
            [
                *lead(row, lossy=lossy),
                number(row.wer, 3),
                str(row.words_added),
                number(reference.wer if reference else None, 3),
                pair(row.word_delay_p50, row.word_delay_p95),
                pair(row.final_delay_p50, row.final_delay_p95),
                number(row.erasure),
                str(row.partials),
                str(row.finals),
            ]
        )
    return table(head, lines)


def cost_table(rows: Sequence[Row]) -> str:
    lossy = any(row.loss for row in rows)
    gpu = any(row.gpu_busy is not None for row in rows)
    head = [*lead_head(lossy=lossy), "CPU s a minute of speech: server", "recognizer", "together"]
    head += ["of the participants", "memory at most, MiB: server", "recognizer"]
    head += ["GPU busy", "GPU memory, MiB"] * gpu
    lines = [
        [
            *lead(row, lossy=lossy),
            number(row.a_minute(row.server_cpu_seconds), 1),
            number(row.a_minute(row.recognizer_cpu_seconds), 1),
            number(60 * row.cores_a_speaker, 1),
            number(row.a_minute(row.participants_cpu_seconds), 1),
            str(row.server_memory_mib),
            str(row.recognizer_memory_mib),
            *[number(row.gpu_busy), number(row.gpu_memory_mib, 0)] * gpu,
        ]
        for row in rows
    ]
    return table(head, lines)


def trouble_table(rows: Sequence[Row]) -> str:
    lossy = any(row.loss for row in rows)
    head = [*lead_head(lossy=lossy), "never recognized, s", "concealed, s", "missing, s"]
    head += ["dropped, s", "never spoken, s", "words never shown", "overload declared"]
    lines = [
        [
            *lead(row, lossy=lossy),
            number(row.audio_lost_seconds, 1),
            number(row.audio_concealed_seconds, 1),
            number(row.audio_missing_seconds, 1),
            number(row.audio_dropped_seconds, 1),
            number(row.skipped_seconds, 1),
            str(row.words_never_shown),
            overload(row),
        ]
        for row in rows
    ]
    return table(head, lines)


def windows_table(figures: Figures) -> str:
    head = ["model", "at once", "windows", "a 30 s window, CPU ms", "ours, CPU s"]
    head += ["30 s windows, CPU s", f"ours of that (target {WINDOWS_TARGET:.0%})"]
    lines = []
    for row in figures.plain:
        reference, share = figures.reference(row.model), figures.window_share(row)
        lines.append(
            [
                row.name,
                str(row.speakers),
                f"{row.windows}",
                number(reference.window_cpu_seconds * 1000 if reference else None, 0),
                number(row.recognizer_cpu_seconds, 1),
                number(figures.thirty(row), 1),
                "–" if share is None else f"{share:.0%}",
            ]
        )
    return table(head, lines)


def offline_table(figures: Figures) -> str:
    head = ["faster-whisper, offline", "WER, beam 5", "WER, greedy"]
    head += ["CPU s a second of speech, beam 5", "greedy"]
    lines = [
        [
            r.model,
            number(r.wer, 3),
            number(r.wer_greedy, 3),
            number(r.cpu_a_second),
            number(r.cpu_a_second_greedy),
        ]
        for r in figures.references
    ]
    return table(head, lines)


def write(figures: Figures, folder: Path) -> list[Path]:
    """Tables and charts; the files."""
    from tests.bench import charts

    text = folder / "captions.md"
    text.write_text(markdown(figures))
    return [text, *charts.draw(figures, folder)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.report")
    parser.add_argument("json", type=Path)
    parser.add_argument("--out", type=Path, help="a folder; that of the JSON else")
    chosen = parser.parse_args()
    print(*write(read(chosen.json), chosen.out or chosen.json.parent), sep="\n")


if __name__ == "__main__":
    main()
