"""Errors in the words of the public contract."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from signaling.errors import HTTP_STATUS, Code, ContractError
from signaling.http import problem

CODES = get_args(Code)


def test_the_codes_are_those_of_the_contract_and_each_has_a_status():
    assert set(CODES) == {
        "unauthorized",
        "forbidden",
        "not_found",
        "invalid",
        "too_large",
        "rate_limited",
        "overloaded",
        "unavailable",
        "conflict",
    }
    assert set(HTTP_STATUS) == set(CODES)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


def test_an_acknowledgement_names_code_and_message_and_when_to_try_again():
    error = ContractError("overloaded", "no node takes calls", 2000)
    assert error.to_wire() == {
        "code": "overloaded",
        "message": "no node takes calls",
        "retry_after_ms": 2000,
    }
    assert ContractError("invalid", "no").to_wire() == {"code": "invalid", "message": "no"}
    assert str(error) == "no node takes calls"


@pytest.mark.parametrize("code", CODES)
def test_a_problem_document_has_the_fields_of_rfc_9457_and_the_code(code):
    response = problem(ContractError(code, "what is wrong"))
    assert response.status == HTTP_STATUS[code]
    assert response.content_type == "application/problem+json"
    document = json.loads(response.text)
    assert document["type"] == "about:blank"
    assert document["status"] == response.status
    assert document["title"]
    assert document["detail"] == "what is wrong"
    assert document["code"] == code


@pytest.mark.parametrize(
    ("milliseconds", "header"), [(None, None), (1, "1"), (999, "1"), (1000, "1"), (2001, "3")]
)
def test_the_time_to_try_again_is_a_header_in_whole_seconds_and_never_0(milliseconds, header):
    response = problem(ContractError("unavailable", "later", milliseconds))
    assert response.headers.get("Retry-After") == header


def test_who_is_not_known_is_told_how_to_say_who_they_are():
    assert problem(ContractError("unauthorized", "no")).headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in problem(ContractError("forbidden", "no")).headers
