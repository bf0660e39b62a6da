"""Whose turn it is, with an engine that does what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captions.load import Level
from captions.scheduler import Request, Scheduler, SchedulerRules
from captions.types import SAMPLE_RATE, Hypothesis
from captions.window import Window
from captions.worker import WorkerFailed


class ScriptedEngine:
    """Answers when told to; what it was asked for and in which order stays."""

    def __init__(self, workers: int = 1, model: str = "") -> None:
        self.workers = workers
        self.model = model
        self.batches: list[list[str]] = []
        self.windows: list[Window] = []
        self.at_once = 0
        self.most_at_once = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False
        self.spoiled: set[str] = set()

    @property
    def asked(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    async def recognize(self, windows: Sequence[Window]) -> list[Hypothesis]:
        names = [str(window.language) for window in windows]
        self.batches.append(names)
        self.windows += windows
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
        finally:
            self.at_once -= 1
        if self.fails:
            raise WorkerFailed("scripted")
        heard = [Hypothesis((), self.model + name) for name in names]
        if self.spoiled & set(names):
            good = [None if n in self.spoiled else h for n, h in zip(names, heard, strict=True)]
            raise WorkerFailed("scripted", good)
        return heard

    async def obey(self, step: str) -> None:
        """Fail from now on, or not; hold answers back, or let some go out."""
        self.fails = {"fail": True, "mend": False}.get(step, self.fails)
        if step == "slow":
            self.open.clear()
        if step == "run":
            self.open.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


ONE_BY_ONE = SchedulerRules(batch=1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Wish:
    """A request whose window names it; knows how often it was answered."""

    def __init__(
        self,
        name: str,
        call: str = "c",
        speaker: str = "s",
        seconds: float = 1.0,
        *,
        background: bool = False,
    ) -> None:
        self.answers: list[Hypothesis | None] = []
        self.wanted = True
        self.windows = 0
        self.name = name
        self.request = Request(call, speaker, self.window, self.answers.append, seconds, background)

    def window(self) -> Window | None:
        self.windows += 1
        samples = np.zeros(round(self.request.seconds * SAMPLE_RATE), np.int16)
        return Window(samples, language=self.name) if self.wanted else None


@contextlib.asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(scheduler.run())
        try:
            yield
        finally:
            run.cancel()


async def settle() -> None:
    """Let the scheduler do all that it can do now."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_finals_go_before_partials():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    for n in range(3):
        scheduler.submit_partial(Wish(f"partial {n}", speaker=f"s{n}").request)
    scheduler.submit_final(Wish("final", speaker="s9").request)
    async with running(scheduler):
        await settle()
    assert engine.asked == ["final", "partial 0", "partial 1", "partial 2"]
    assert (scheduler.counts.finals, scheduler.counts.partials) == (1, 3)
    assert scheduler.counts.recognized_seconds == 4


async def test_of_a_speakers_partials_only_the_newest_is_made():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    wishes = [Wish(f"{n}") for n in range(5)]
    for wish in wishes:
        scheduler.submit_partial(wish.request)
    assert scheduler.waiting_partials == 1
    async with running(scheduler):
        await settle()
    assert engine.asked == ["4"]
    assert [len(wish.answers) for wish in wishes] == [1] * 5


async def test_a_window_is_made_when_its_turn_comes_and_not_before():
    engine = ScriptedEngine()
    engine.open.clear()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    first, second = Wish("first", speaker="a"), Wish("second", speaker="b")
    async with running(scheduler):
        scheduler.submit_partial(first.request)
        scheduler.submit_partial(second.request)
        await settle()
        assert (first.windows, second.windows) == (1, 0)
        engine.open.set()
        await settle()
    assert (first.windows, second.windows) == (1, 1)


async def test_an_answer_comes_before_the_next_window_is_made():
    """The words that it commits are forced in the next window of that speaker."""
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    order: list[str] = []

    def request(name: str) -> Request:
        def window() -> Window:
            order.append(f"window {name}")
            return Window(np.zeros(160, np.int16))

        return Request("c", "s", window, lambda _: order.append(f"answer {name}"))

    scheduler.submit_final(request("1"))
    scheduler.submit_final(request("2"))
    async with running(scheduler):
        await settle()
    assert order == ["window 1", "answer 1", "window 2", "answer 2"]


async def test_a_final_takes_the_place_of_the_speakers_waiting_partial():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    partial, other = Wish("partial"), Wish("other's", speaker="other")
    scheduler.submit_partial(partial.request)
    scheduler.submit_partial(other.request)
    scheduler.submit_final(Wish("final").request)
    assert partial.answers == [None]
    async with running(scheduler):
        await settle()
    assert engine.asked == ["final", "other's"]


async def test_the_finals_of_a_speaker_keep_their_order():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    for n in range(4):
        scheduler.submit_final(Wish(f"{n}").request)
    async with running(scheduler):
        await settle()
    assert engine.asked == ["0", "1", "2", "3"]


async def test_calls_take_turns_and_within_a_call_its_speakers():
    """A call of many speakers gets no more turns than a call of one."""
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)

    def again(call: str, speaker: str) -> None:
        def answered(hypothesis: Hypothesis | None) -> None:
            if hypothesis and len(engine.asked) < 12:
                again(call, speaker)

        window = Window(np.zeros(160, np.int16), language=f"{call}{speaker}")
        scheduler.submit_partial(Request(call, speaker, lambda: window, answered))

    for speaker in "abc":
        again("big-", speaker)
    again("small-", "x")
    async with running(scheduler):
        await settle()
    assert engine.asked[:12] == ["big-a", "small-x", "big-b", "small-x", "big-c", "small-x"] * 2


async def test_a_quiet_speaker_does_not_wait_for_a_talkative_one():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    for n in range(3):
        scheduler.submit_final(Wish(f"talkative {n}", speaker="t").request)
    scheduler.submit_final(Wish("quiet", speaker="q").request)
    async with running(scheduler):
        await settle()
    assert engine.asked.index("quiet") == 1


async def test_what_does_not_fit_the_backlog_is_answered_with_none_at_once_and_counted():
    scheduler = Scheduler(ScriptedEngine(), rules=SchedulerRules(longest_backlog_seconds=10))
    fits, too_much, small = Wish("a", seconds=8), Wish("b", seconds=3), Wish("c", seconds=2)
    for wish in (fits, too_much, small):
        scheduler.submit_final(wish.request)
    assert (fits.answers, too_much.answers, small.answers) == ([], [None], [])
    assert scheduler.counts.lost_seconds == 3
    assert scheduler.backlog_seconds == 10
    async with running(scheduler):
        await settle()
    assert scheduler.backlog_seconds == 0
    assert len(fits.answers) == len(small.answers) == 1


async def test_a_window_that_is_no_longer_wanted_costs_no_recognition():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    final, partial = Wish("final"), Wish("partial", speaker="other")
    final.wanted = partial.wanted = False
    scheduler.submit_final(final.request)
    scheduler.submit_partial(partial.request)
    async with running(scheduler):
        await settle()
    assert engine.asked == []
    assert final.answers == partial.answers == [None]
    assert scheduler.counts.recognized_seconds == 0


async def test_a_failure_is_counted_and_the_next_turn_comes():
    engine = ScriptedEngine()
    engine.fails = True
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    wishes = [Wish("final", seconds=4), Wish("partial", speaker="other", seconds=2)]
    scheduler.submit_final(wishes[0].request)
    scheduler.submit_partial(wishes[1].request)
    async with running(scheduler):
        await settle()
        engine.fails = False
        last = Wish("last")
        scheduler.submit_final(last.request)
        await settle()
    assert [wish.answers for wish in wishes] == [[None], [None]]
    assert last.answers == [Hypothesis((), "last")]
    assert scheduler.counts.failures == 2
    assert scheduler.counts.lost_seconds == 4


async def test_nothing_is_left_unanswered_when_the_scheduler_ends():
    engine = ScriptedEngine()
    engine.open.clear()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    wishes = [Wish(f"{n}", speaker=f"s{n}") for n in range(4)]
    async with running(scheduler):
        scheduler.submit_final(wishes[0].request)
        scheduler.submit_final(wishes[1].request)
        scheduler.submit_partial(wishes[2].request)
        await settle()
        assert engine.asked == ["0"]
    for wish in wishes[2:]:
        scheduler.submit_partial(wish.request)
    late = Wish("late")
    scheduler.submit_final(late.request)
    assert [wish.answers for wish in wishes[:2]] == [[None], [None]]
    assert [set(wish.answers) for wish in wishes[2:]] == [{None}, {None}]
    assert late.answers == [None]
    assert scheduler.counts.lost_seconds == 3


async def test_a_speaker_who_left_still_gets_finals_but_no_partial():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    final, partial = Wish("final"), Wish("partial")
    scheduler.submit_final(final.request)
    scheduler.submit_partial(partial.request)
    scheduler.forget("c", "s")
    assert partial.answers == [None]
    async with running(scheduler):
        await settle()
    assert engine.asked == ["final"]


async def test_nothing_is_kept_of_speakers_who_left():
    """Nor of those whose last final was made after they had left."""
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    async with running(scheduler):
        for n in range(20):
            before, after = Wish("before", f"c{n}", "a"), Wish("after", f"c{n}", "b")
            scheduler.submit_final(before.request)
            scheduler.submit_partial(Wish("partial", f"c{n}", "b").request)
            await settle()
            scheduler.forget(f"c{n}", "a")
            scheduler.submit_final(after.request)
            scheduler.submit_final(Wish("after", f"c{n}", "b").request)
            scheduler.forget(f"c{n}", "b")
            await settle()
    assert len(scheduler._waiting._turns) == 0
    assert scheduler._waiting._leaving == set()
    assert scheduler._lanes[0].busy == set()


async def test_a_call_keeps_its_turn_while_one_of_its_speakers_is_there():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    async with running(scheduler):
        for speaker in "ab":
            scheduler.submit_final(Wish(speaker, speaker=speaker).request)
        await settle()
        scheduler.forget("c", "a")
        scheduler.submit_final(Wish("had a turn", speaker="b").request)
        scheduler.submit_final(Wish("had none", call="new").request)
        await settle()
    assert engine.asked[2:] == ["had none", "had a turn"]


SUBMITTED = ("final", "partial", "unwanted", "background")

STEPS = st.lists(
    st.tuples(
        st.sampled_from([*SUBMITTED, "forget", "hurry", "fail", "mend", "run", "slow"]),
        st.sampled_from(["c1", "c2"]),
        st.sampled_from("abc"),
        st.integers(1, 6),
    ),
    max_size=40,
)


@settings(max_examples=80)
@given(STEPS, st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans())
def test_every_request_is_answered_exactly_once_and_finals_of_a_speaker_in_order(
    steps: list[tuple[str, str, str, int]],
    workers: int,
    batch: int,
    batch_finals: bool,
    two_models: bool,
):
    wishes: list[Wish] = []
    answered: list[tuple[str, str, int]] = []

    def wish(n: int, step: str, call: str, speaker: str, seconds: int) -> Wish:
        final, background = step in ("final", "background"), step == "background"
        speaker = "file" if background else speaker  # who has nothing else
        made = Wish(str(n), call, speaker, seconds)
        made.wanted = step != "unwanted"

        def answer(hypothesis: Hypothesis | None) -> None:
            made.answers.append(hypothesis)
            if final and hypothesis:
                answered.append((call, speaker, n))

        made.request = Request(call, speaker, made.window, answer, seconds, background)
        wishes.append(made)
        return made

    async def play() -> None:
        engine = ScriptedEngine(workers)
        final_engine = ScriptedEngine() if two_models else None
        rules = SchedulerRules(batch, batch_finals, longest_backlog_seconds=15)
        scheduler = Scheduler(engine, final_engine, rules=rules)
        hurried = 0  # what was in the background is bounded by who submits it
        async with running(scheduler):
            await asyncio.sleep(0)
            for n, (step, call, speaker, seconds) in enumerate(steps):
                if step in SUBMITTED:
                    final = step in ("final", "background")
                    submit = scheduler.submit_final if final else scheduler.submit_partial
                    submit(wish(n, step, call, speaker, seconds).request)
                elif step == "hurry":
                    scheduler.hurry(call, "file")
                elif step == "forget":
                    scheduler.forget(call, speaker)
                else:
                    await engine.obey(step)
                hurried += step == "hurry"
                assert scheduler.backlog_seconds <= 15 or hurried

        assert engine.most_at_once <= workers + two_models

    asyncio.run(play())
    assert [len(made.answers) for made in wishes] == [1] * len(wishes)
    for speaker in {(call, speaker) for call, speaker, _ in answered}:
        order = [n for call, name, n in answered if (call, name) == speaker]
        assert order == sorted(order)


async def test_an_error_that_is_not_the_engines_own_ends_the_scheduler_and_answers_all():
    class Broken(ScriptedEngine):
        async def recognize(self, windows: Sequence[Window]) -> list[Hypothesis]:
            raise RuntimeError("scripted")

    scheduler = Scheduler(Broken())
    wishes = [Wish("1"), Wish("2")]
    for wish in wishes:
        scheduler.submit_final(wish.request)
    with pytest.RaisesGroup(RuntimeError):
        await scheduler.run()
    assert [wish.answers for wish in wishes] == [[None], [None]]


# --- several workers, batches -----------------------------------------------------------------


async def test_as_many_batches_are_made_at_once_as_there_are_workers():
    engine = ScriptedEngine(workers=2)
    engine.open.clear()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    async with running(scheduler):
        for n in range(5):
            scheduler.submit_final(Wish(f"{n}", speaker=f"s{n}").request)
        await settle()
        assert engine.asked == ["0", "1"]
        engine.open.set()
        await settle()
    assert engine.asked == ["0", "1", "2", "3", "4"]
    assert engine.most_at_once == 2


async def test_of_a_speaker_only_one_request_is_made_at_once():
    engine = ScriptedEngine(workers=3)
    engine.open.clear()
    scheduler = Scheduler(engine)
    async with running(scheduler):
        scheduler.submit_partial(Wish("partial").request)
        await settle()
        scheduler.submit_final(Wish("final").request)
        scheduler.submit_partial(Wish("next").request)
        scheduler.submit_final(Wish("other's", speaker="other").request)
        await settle()
        assert engine.asked == ["partial", "other's"]
        engine.open.set()
        await settle()
    assert engine.asked == ["partial", "other's", "final", "next"]


async def test_what_waits_is_spread_over_the_workers_that_are_free():
    engine = ScriptedEngine(workers=2)
    engine.open.clear()
    scheduler = Scheduler(engine)
    for n in range(5):
        scheduler.submit_partial(Wish(f"{n}", speaker=f"s{n}").request)
    async with running(scheduler):
        await settle()
    assert engine.batches == [["0", "1", "2"], ["3", "4"]]


async def test_what_waits_when_a_worker_becomes_free_is_made_in_one_batch_of_bounded_size():
    engine = ScriptedEngine()
    engine.open.clear()
    scheduler = Scheduler(engine, rules=SchedulerRules(batch=4))
    async with running(scheduler):
        scheduler.submit_partial(Wish("first", speaker="s").request)
        await settle()
        for n in range(6):
            scheduler.submit_partial(Wish(f"{n}", speaker=f"s{n}").request)
        engine.open.set()
        await settle()
    assert engine.batches == [["first"], ["0", "1", "2", "3"], ["4", "5"]]


async def test_finals_are_made_alone_unless_the_device_makes_batches_of_them_cheap():
    for batch_finals, batches in ((False, [["0"], ["1"]]), (True, [["0", "1"]])):
        engine = ScriptedEngine()
        scheduler = Scheduler(engine, rules=SchedulerRules(batch_finals=batch_finals))
        for n in range(2):
            scheduler.submit_final(Wish(f"{n}", speaker=f"s{n}").request)
        async with running(scheduler):
            await settle()
        assert engine.batches == batches


async def test_a_batch_holds_windows_of_about_the_same_length():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine)
    for n, seconds in enumerate([1, 13, 7, 18]):  # up to 8 s they are all the same
        scheduler.submit_partial(Wish(f"{seconds} s", speaker=f"s{n}", seconds=seconds).request)
    async with running(scheduler):
        await settle()
    assert engine.batches == [["1 s", "7 s"], ["13 s", "18 s"]]


async def test_what_is_not_wanted_any_more_leaves_its_place_in_the_batch_to_others():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=SchedulerRules(batch=2))
    wishes = [Wish(f"{n}", speaker=f"s{n}") for n in range(4)]
    wishes[0].wanted = wishes[2].wanted = False
    for wish in wishes:
        scheduler.submit_partial(wish.request)
    async with running(scheduler):
        await settle()
    assert engine.batches == [["1", "3"]]
    assert [len(wish.answers) for wish in wishes] == [1] * 4


async def test_of_a_batch_that_fails_in_part_the_others_are_answered():
    engine = ScriptedEngine()
    engine.spoiled = {"1"}
    scheduler = Scheduler(engine, rules=SchedulerRules(batch_finals=True))
    wishes = [Wish(f"{n}", speaker=f"s{n}", seconds=2) for n in range(3)]
    for wish in wishes:
        scheduler.submit_final(wish.request)
    async with running(scheduler):
        await settle()
    assert [wish.answers for wish in wishes] == [
        [Hypothesis((), "0")],
        [None],
        [Hypothesis((), "2")],
    ]
    assert scheduler.counts.failures == 1
    assert scheduler.counts.lost_seconds == 2


async def test_of_a_batch_that_fails_each_is_counted_once():
    engine = ScriptedEngine()
    engine.fails = True
    scheduler = Scheduler(engine)
    for n in range(3):
        scheduler.submit_partial(Wish(f"{n}", speaker=f"s{n}").request)
    async with running(scheduler):
        await settle()
    assert engine.batches == [["0", "1", "2"]]
    assert scheduler.counts.failures == 3
    assert scheduler.counts.lost_seconds == 0


# --- a model for finals -----------------------------------------------------------------------


async def test_a_model_for_finals_makes_the_finals_and_the_other_the_partials():
    engine, finals = ScriptedEngine(), ScriptedEngine(model="large ")
    scheduler = Scheduler(engine, finals)
    assert scheduler.has_final_model
    assert not Scheduler(engine).has_final_model
    final = Wish("final")
    scheduler.submit_final(final.request)
    scheduler.submit_partial(Wish("partial", speaker="other").request)
    async with running(scheduler):
        await settle()
    assert (engine.asked, finals.asked) == (["partial"], ["final"])
    assert final.answers == [Hypothesis((), "large final")]


async def test_the_model_for_finals_gets_no_tokens_of_the_other():
    engine, finals = ScriptedEngine(), ScriptedEngine()
    scheduler = Scheduler(engine, finals)
    window = Window(np.zeros(160, np.int16), prefix=((1, 2), (3,)))
    for submit, speaker in ((scheduler.submit_final, "a"), (scheduler.submit_partial, "b")):
        submit(Request("c", speaker, lambda: window, lambda _: None))
    async with running(scheduler):
        await settle()
    assert [w.prefix for w in finals.windows] == [()]
    assert [w.prefix for w in engine.windows] == [((1, 2), (3,))]


async def test_where_the_model_for_finals_fails_the_other_makes_the_final():
    engine, finals = ScriptedEngine(model="small "), ScriptedEngine(model="large ")
    finals.fails = True
    scheduler = Scheduler(engine, finals)
    answers: list[Hypothesis | None] = []
    window = Window(np.zeros(160, np.int16), language="final", prefix=((1, 2),))
    scheduler.submit_final(Request("c", "s", lambda: window, answers.append))
    async with running(scheduler):
        await settle()
    assert answers == [Hypothesis((), "small final")]
    assert [w.prefix for w in engine.windows] == [((1, 2),)]
    assert (scheduler.counts.failures, scheduler.counts.lost_seconds) == (0, 0)


async def test_a_final_that_both_models_fail_at_is_lost_once():
    engine, finals = ScriptedEngine(), ScriptedEngine()
    engine.fails = finals.fails = True
    scheduler = Scheduler(engine, finals)
    final = Wish("final", seconds=4)
    scheduler.submit_final(final.request)
    async with running(scheduler):
        await settle()
    assert final.answers == [None]
    assert (scheduler.counts.failures, scheduler.counts.lost_seconds) == (1, 4)


async def test_a_speakers_next_partial_does_not_wait_for_the_slower_model():
    engine, finals = ScriptedEngine(), ScriptedEngine()
    finals.open.clear()
    scheduler = Scheduler(engine, finals)
    async with running(scheduler):
        scheduler.submit_final(Wish("final").request)
        await settle()
        scheduler.submit_partial(Wish("next").request)
        await settle()
        assert engine.asked == ["next"]


# --- overload -----------------------------------------------------------------------------------


def held_up() -> tuple[Scheduler, ScriptedEngine, Clock]:
    """A scheduler whose engine answers nothing until it is opened."""
    engine, clock = ScriptedEngine(), Clock()
    engine.open.clear()
    return Scheduler(engine, clock=clock), engine, clock


async def test_partials_that_wait_long_stretch_the_beat_and_this_is_declared():
    scheduler, _, clock = held_up()
    async with running(scheduler):
        scheduler.submit_partial(Wish("first", speaker="s").request)
        await settle()
        assert (scheduler.look(), scheduler.beat_factor) == (Level.NORMAL, 1.0)
        for n in range(3):
            scheduler.submit_partial(Wish(f"{n}", speaker=f"s{n}").request)
        clock.now += 0.6
        assert scheduler.look() is Level.SLOWER
        assert scheduler.beat_factor == pytest.approx(1 + 0.5 / 0.4)


async def test_who_waits_only_for_their_own_last_answer_is_not_overload():
    scheduler, engine, clock = held_up()
    async with running(scheduler):
        for name in "12345":
            scheduler.submit_partial(Wish(name).request)
            await settle()
            clock.now += 0.8
            assert scheduler.look() is Level.NORMAL
            if name == "3":
                engine.open.set()
                await settle()
                engine.open.clear()


async def test_a_wait_counts_from_the_first_partial_that_was_not_served():
    scheduler, _, clock = held_up()
    async with running(scheduler):
        scheduler.submit_final(Wish("final", speaker="other").request)
        await settle()
        for _ in range(3):
            scheduler.submit_partial(Wish("partial").request)
            clock.now += 0.3
        assert scheduler.look() is Level.SLOWER


async def test_when_finals_wait_partials_are_dropped_and_finals_are_not():
    scheduler, engine, clock = held_up()
    finals = [Wish(f"{n}", speaker=f"s{n}") for n in range(3)]
    before, after = Wish("before", speaker="b"), Wish("after", speaker="a")
    async with running(scheduler):
        for final in finals:
            scheduler.submit_final(final.request)
        await settle()
        scheduler.submit_partial(before.request)
        clock.now += 1.6
        assert scheduler.look() is Level.FINALS_ONLY
        scheduler.submit_partial(after.request)
        assert before.answers == after.answers == [None]
        assert scheduler.counts.partials_dropped == 2
        assert scheduler.waiting_partials == 0
        clock.now += 1.5
        assert scheduler.look() is Level.SATURATED
        engine.open.set()
        await settle()
    assert engine.asked == ["0", "1", "2"]
    assert all(None not in final.answers for final in finals)
    assert scheduler.counts.lost_seconds == 0


async def test_a_backlog_of_half_of_what_may_wait_is_saturation_at_once():
    scheduler = Scheduler(ScriptedEngine(), rules=SchedulerRules(longest_backlog_seconds=10))
    scheduler.submit_final(Wish("a", seconds=5).request)
    assert scheduler.level is Level.NORMAL
    scheduler.submit_final(Wish("b", seconds=1).request)
    assert scheduler.level is Level.SATURATED


async def test_what_is_in_the_background_waits_for_every_final_and_every_partial():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    for n in range(2):
        scheduler.submit_final(Wish(f"file {n}", speaker="f", background=True).request)
    scheduler.submit_partial(Wish("partial", speaker="a").request)
    scheduler.submit_final(Wish("final", speaker="b").request)
    async with running(scheduler):
        await settle()
    assert engine.asked == ["final", "partial", "file 0", "file 1"]


async def test_who_speaks_while_a_file_waits_goes_before_it_each_time():
    engine = ScriptedEngine()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)

    def speak(n: int) -> None:
        window = Window(np.zeros(160, np.int16), language=f"{n}")
        answer = (lambda _: speak(n + 1)) if n < 5 else (lambda _: None)
        scheduler.submit_partial(Request("c", "ab"[n % 2], lambda: window, answer))

    speak(0)
    scheduler.submit_final(Wish("file", speaker="f", background=True).request)
    async with running(scheduler):
        await settle()
    assert engine.asked == [*"012345", "file"]


async def test_a_file_takes_a_worker_that_nobody_live_could_use_but_never_all_of_them():
    engine = ScriptedEngine(workers=3)
    engine.open.clear()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    async with running(scheduler):
        for n in range(4):
            scheduler.submit_final(Wish(f"file {n}", speaker=f"f{n}", background=True).request)
        await settle()
        assert engine.asked == ["file 0", "file 1"]
        scheduler.submit_final(Wish("final").request)
        scheduler.submit_partial(Wish("partial").request)  # waits for their own final only
        await settle()
        assert engine.asked == ["file 0", "file 1", "final"]
        engine.open.set()
        await settle()
    assert sorted(engine.asked[3:]) == ["file 2", "file 3", "partial"]


async def test_a_file_leaves_the_machine_to_partials_though_another_model_makes_finals():
    engine, better = ScriptedEngine(model="fast "), ScriptedEngine(model="better ")
    engine.open.clear()
    scheduler = Scheduler(engine, better, rules=ONE_BY_ONE)
    async with running(scheduler):
        scheduler.submit_partial(Wish("0", speaker="a").request)
        await settle()
        scheduler.submit_partial(Wish("1", speaker="b").request)
        scheduler.submit_final(Wish("file", speaker="f", background=True).request)
        await settle()
        assert (engine.asked, better.asked) == (["0"], [])
        engine.open.set()
        await settle()
    assert (engine.asked, better.asked) == (["0", "1"], ["file"])


async def test_files_that_wait_are_no_load_and_refuse_nobody():
    clock, engine = Clock(), ScriptedEngine()
    engine.open.clear()
    rules = SchedulerRules(batch=1, longest_backlog_seconds=10)
    scheduler = Scheduler(engine, rules=rules, clock=clock)
    files = [Wish(f"file {n}", speaker=f"f{n}", seconds=30, background=True) for n in range(3)]
    async with running(scheduler):
        for wish in files:
            scheduler.submit_final(wish.request)
        await settle()
        for _ in range(60):
            clock.now += 1
            assert scheduler.look() is Level.NORMAL
        assert scheduler.backlog_seconds == 0
        scheduler.submit_final(Wish("live", seconds=4).request)
        engine.open.set()
        await settle()
        assert scheduler.look() is Level.NORMAL
    assert engine.asked[:2] == ["file 0", "live"]
    assert all(len(wish.answers) == 1 and wish.answers[0] for wish in files)
    assert scheduler.counts.lost_seconds == 0


async def test_last_words_of_a_file_no_longer_wait_behind_live_ones():
    clock, engine = Clock(), ScriptedEngine()
    engine.open.clear()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE, clock=clock)
    async with running(scheduler):
        scheduler.submit_final(Wish("0", speaker="a").request)
        await settle()
        last = Wish("last words", speaker="f", background=True)
        scheduler.submit_final(last.request)
        clock.now += 600
        scheduler.submit_partial(Wish("partial", speaker="b").request)
        scheduler.hurry("c", "f")
        assert scheduler.look() is Level.NORMAL, "it is as if it came just now"
        scheduler.forget("c", "f")
        engine.open.set()
        await settle()
    assert engine.asked == ["0", "last words", "partial"]
    assert scheduler._waiting._leaving == set()


async def test_what_is_in_the_background_is_answered_when_the_scheduler_ends():
    engine = ScriptedEngine()
    engine.open.clear()
    scheduler = Scheduler(engine, rules=ONE_BY_ONE)
    wish = Wish("file", speaker="f", background=True)
    async with running(scheduler):
        scheduler.submit_partial(Wish("partial", speaker="b").request)
        scheduler.submit_final(wish.request)
        await settle()
    assert wish.answers == [None]
