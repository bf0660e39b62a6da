"""The recognizers of a node, as its settings want them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog

from captions import models
from captions.engine import Engine, EngineSettings
from captions.scheduler import SchedulerRules
from surtitle.settings import Settings, SettingsError, cache_folder

log = structlog.get_logger(__name__)


async def start_recognizers(
    settings: Settings, stack: AsyncExitStack
) -> tuple[Engine, Engine | None]:
    """The recognizers, ready: of `--model`, and of `--final-model` where there is one."""
    name, device = models.choose(settings.model, settings.device)
    engine = await stack.enter_async_context(
        Engine(await _located(settings, name, device, settings.workers_on(device)))
    )
    final_engine = None
    final_name = settings.final_model and models.choose(settings.final_model, device)[0]
    if final_name:
        # Of fewer workers: finals are few, and the cores are the same.
        workers = max(1, settings.workers_on(device) // 2)
        final_engine = await stack.enter_async_context(
            Engine(await _located(settings, final_name, device, workers))
        )
        if not set(engine.info.languages) <= set(final_engine.info.languages):
            raise SettingsError(
                f"--final-model {final_name} does not know all languages of --model {name}."
            )
    log.info(
        "recognizer ready",
        model=name,
        final_model=final_name or name,
        device=engine.info.device,
        workers=engine.workers,
        load_seconds=round(engine.info.load_seconds, 2),
    )
    return engine, final_engine


async def _located(settings: Settings, name: str, device: str, workers: int) -> EngineSettings:
    weights = await asyncio.to_thread(models.locate, name, cache_folder() / "models")
    threads = settings.threads_on(device)
    return EngineSettings(weights, name, device, threads=threads, workers=workers)


def scheduler_rules(settings: Settings, device: str) -> SchedulerRules:
    """How a node's recognizers are asked, by what they run on."""
    rules = SchedulerRules(batch=settings.batch_on(device), batch_finals=device == "cuda")
    # A GPU is done in a second with what many say who fall silent together.
    return replace(rules, longest_backlog_seconds=600.0) if device == "cuda" else rules
