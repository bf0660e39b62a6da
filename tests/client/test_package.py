"""What whoever installs the client has of it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import fields
from pathlib import Path

import surtitle
from captions import types
from surtitle.client import Caption, Word
from tests.client.test_feed import final
from tests.contract import document

HEAVY = (
    *("aiortc", "aioice", "av", "numpy", "ctranslate2", "faster_whisper", "onnxruntime"),
    *("huggingface_hub", "pymongo", "motor", "redis", "rich", "typer"),
)


async def test_importing_it_loads_nothing_that_hears_or_recognizes():
    program = (
        "import sys\n"
        f"for name in {HEAVY}: sys.modules[name] = None\n"  # to import one is an ImportError
        "import surtitle.client\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('captions', 'media')))"
    )
    python = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await python.communicate()
    assert python.returncode == 0
    assert out.split() == []


def test_type_checkers_are_told_that_it_has_types():
    assert (Path(surtitle.__file__).parent / "py.typed").is_file()


def test_a_caption_has_the_fields_of_the_contract():
    schemas = document()["components"]["schemas"]
    for model, name in ((Caption, "Caption"), (Word, "Word")):
        assert {field.name for field in fields(model)} == set(schemas[name]["properties"])


def test_a_caption_is_read_as_the_server_writes_it_and_what_is_new_does_no_harm():
    said = {"text": "seven", "start_ms": 1, "end_ms": 2, "confidence": 0.5}
    ours = types.Caption.from_wire(
        {
            **{f.name: getattr(final(7), f.name) for f in fields(Caption) if f.name != "words"},
            "words": [said],
            "gap_ms": 3,
        }
    )
    read = Caption.from_wire(ours.to_wire() | {"mood": "merry"})
    assert read.key == ours.key
    assert read.words == (Word(**said),)
    assert (read.seq, read.gap_ms, read.text) == (7, 3, "u-7.9")
