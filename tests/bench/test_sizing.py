"""What is told to operators follows from the figures."""

from __future__ import annotations

import dataclasses

import pytest

from tests.bench.figures import Figures, Reference, Row, read
from tests.bench.report import markdown
from tests.bench.sizing import Assumptions, sizes, text, write

MACHINE = {
    "cpu": "some CPU",
    "cores": 2,
    "memory_gib": 8,
    "gpu": "",
    "os": "some Linux",
    "python": "3.11",
    "faster-whisper": "1.2",
    "ctranslate2": "4.8",
    "onnxruntime": "1.3",
    "device": "cpu",
    "load_before": 0.1,
    "commit": "",
    "date": "2026-11-21",
    "recordings": "human recordings",
}
ROW = Row(
    **{field.name: 0 for field in dataclasses.fields(Row)}
    | {"model": "tiny.en", "final_model": "", "degraded": (), "heard": {"Speaker 1": "one"}}
)
REFERENCE = Reference("tiny.en", 60.0, 0.02, 0.03, 6.0, 5.0, 0.5, 0.5)


def row(speakers, delay, **more):
    return dataclasses.replace(
        ROW,
        speakers=speakers,
        speech_seconds=60.0 * speakers,
        word_delay_p95=delay,
        server_cpu_seconds=3.0 * speakers,
        recognizer_cpu_seconds=12.0 * speakers,
        windows=100 * speakers,
        **more,
    )


def figures(*rows, **machine):
    return Figures(MACHINE | machine, list(rows), [REFERENCE])


def test_a_lucky_run_behind_one_that_failed_is_no_promise():
    (size,) = sizes(figures(row(1, 0.5), row(2, 1.0), row(4, 1.5), row(8, 1.1)))
    assert (size.row.speakers, size.speakers_a_unit, size.open_ended) == (2, 1.0, False)


def test_audio_that_was_lost_is_no_success():
    (size,) = sizes(figures(row(1, 0.5), row(2, 0.5, audio_lost_seconds=1.0)))
    assert size.row.speakers == 1


def test_nothing_heard_is_no_success():
    (size,) = sizes(figures(row(1, None)))
    assert size.row is None


def test_what_was_not_measured_is_left_open():
    (size,) = sizes(figures(row(1, 0.5), row(2, 0.5)))
    assert size.open_ended
    assert "at least 2" in text(figures(row(2, 0.5)), Assumptions(0.04))


def test_a_participant_hour():
    assumed = Assumptions(price=0.06, participants=4, overlap=0.2, busy=0.5)
    assert assumed.share == pytest.approx(0.3)
    assert assumed.participant_hour(2.0) == pytest.approx(0.06 * 0.3 / (2.0 * 0.5))


def test_ours_beside_30_s_windows():
    assert figures().window_share(row(2, 0.5)) == pytest.approx(24 / (200 * 0.5))
    assert figures().window_share(dataclasses.replace(ROW, model="base")) is None


def test_a_plan_keeps_a_reserve_or_says_that_there_is_none():
    assumed = Assumptions(0.04, participants=4, overlap=0.1, busy=0.6)
    assert "plan 4 calls of 4" in text(figures(row(8, 0.5)), assumed)
    assert "no reserve even for one" in text(figures(row(1, 0.5)), assumed)


def test_figures_are_read_as_they_were_written(tmp_path):
    found = figures(row(1, 0.5, degraded=("many speak",), load_level=1, final_model="base"))
    found.write(tmp_path / "captions.json")
    assert read(tmp_path / "captions.json") == found
    assert "level 1: many speak" in markdown(found)
    assert "tiny.en+base" in markdown(found)


def test_figures_take_their_place_in_the_text(tmp_path):
    page = tmp_path / "sizing.md"
    page.write_text("a\n<!-- figures: cpu -->\nold\n<!-- end of figures: cpu -->\nz\n")
    write(page, "cpu", "new")
    write(page, "cpu", "newer")
    wanted = "a\n<!-- figures: cpu -->\nnewer\n<!-- end of figures: cpu -->\nz\n"
    assert page.read_text() == wanted
    with pytest.raises(ValueError, match="cuda"):
        write(page, "cuda", "new")


def test_charts_are_drawn_of_whatever_was_measured(tmp_path):
    from tests.bench.charts import draw

    late = row(16, 12.0, final_model="base", loss=0.05, word_delay_p50=-0.1)
    for found, count in (
        (figures(), 0),
        (figures(row(1, None, wer=None)), 3),
        (figures(row(1, 0.5), row(4, 9.0), late, row(16, 11.0, final_model="base")), 3),
        (figures(row(1, 0.5), device="cuda"), 2),
    ):
        assert len(draw(found, tmp_path)) == count
