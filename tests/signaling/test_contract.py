"""Names of the public contract that clients are already written to: none may go."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.contract import document, resolve
from tests.recordings import ROOT

TAKEN = {
    "root": {
        *("call:join", "call:watch", "call:update", "call:leave", "captions:since"),
        *("media:offer", "media:candidate", "media:close", "peer:signal", "subscribe-call"),
    },
    "transcribe": {"start_transcription", "audio_chunk", "stop_transcription"},
    "websocket": {"configure", "audio", "close_stream"},
}

TOLD = {
    "root": {
        *("caption", "call:participant", "call:state", "media:reoffer", "peer:signal"),
        "transcript",
    },
    "transcribe": {
        *("connected", "transcription_started", "transcription_result"),
        *("transcription_stopped", "error"),
    },
    "websocket": {"interim", "final", "error"},
}

FIELDS = {
    "Caption": {
        *("call", "utterance", "revision", "participant", "speaker", "language"),
        *("source_language", "text", "stable", "final", "feed", "seq", "start_ms", "end_ms"),
        *("confidence", "words"),
    },
    "Join": {"call", "name", "language", "captions_language", "since"},
    "Watch": {"call", "captions_language", "since"},
    "Update": {"name", "language", "captions_language", "captioned", "anonymous"},
    "JoinAnswer": {"participant", "participants", "ice_servers", "captions", "seq", "state"},
    "WatchAnswer": {"captions", "seq", "state"},
    "SinceAnswer": {"captions", "seq"},
    "Offer": {"sdp", "type"},
    "OfferAnswer": {"sdp", "type"},
    "Candidate": {"candidate", "sdpMid", "sdpMLineIndex"},
    "Signal": {"to", "data"},
    "PeerSignal": {"from", "data"},
    "Participant": {"id", "name", "language", "captioned", "publishing"},
    "CallState": {"state", "reason", "captioning"},
    "Reoffer": {"reason"},
    "ErrorBody": {"code", "message", "retry_after_ms"},
    "OlderTranscript": {"call_uuid", "speaker", "transcript", "is_partial", "timestamp"},
    "StartTranscription": {"language_code", "call", "name"},
    "AudioChunk": {"chunk"},
    "Connected": {"status"},
    "TranscriptionStarted": {"status", "message", "language_code", "session"},
    "TranscriptionStopped": {"status", "message"},
    "Config": {"encoding", "sample_rate", "language", "interim_results", "custom_vocabulary"},
    "Audio": {"data"},
    "Interim": {"transcript", "confidence", "duration", "is_final", "timestamp"},
    "Final": {"transcript", "confidence", "duration", "is_final", "timestamp", "words"},
    "SpokenWord": {"word", "start", "end", "confidence"},
}

ROUTES = {
    "/api/calls": {"post", "get"},
    "/api/calls/{call}": {"get", "delete"},
    "/api/calls/{call}/transcript": {"get", "delete"},
    "/api/transcripts": {"get"},
    "/api/calls/{call}/captions": {"get", "post"},
    "/api/calls/{call}/quality": {"post"},
    "/api/ice-servers": {"get"},
    "/whip/{call}": {"post"},
    "/health": {"get"},
    "/ready": {"get"},
    "/metrics": {"get"},
}

QUERY = {"api_key", "language", "model", "interim_results", "vad_enabled", "custom_vocabulary"}


def names(action: str, channel: str) -> set[str]:
    return {
        resolve(message["$ref"])["name"]
        for operation in document()["operations"].values()
        if operation["action"] == action and operation["channel"]["$ref"] == f"#/channels/{channel}"
        for message in operation["messages"]
    }


@pytest.mark.parametrize("channel", TAKEN)
def test_every_event_is_there(channel):
    assert names("receive", channel) >= TAKEN[channel]
    assert names("send", channel) >= TOLD[channel]


@pytest.mark.parametrize("schema", FIELDS)
def test_every_field_is_there(schema):
    found = document()["components"]["schemas"][schema]["properties"]
    assert set(found) >= FIELDS[schema]


def test_the_websocket_s_query_is_there():
    query = document()["channels"]["websocket"]["bindings"]["ws"]["query"]["properties"]
    assert set(query) >= QUERY


def test_every_route_is_there():
    paths: dict[str, Any] = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    missing = {
        (path, method)
        for path, methods in ROUTES.items()
        for method in methods
        if method not in paths.get(path, {})
    }
    assert not missing
