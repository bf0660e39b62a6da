"""How soon what fails is tried again."""

from __future__ import annotations

from captions.circuit import Circuit, CircuitRules

RULES = CircuitRules(
    failures=5, first_delay_seconds=0.2, longest_delay_seconds=1.0, open_seconds=30
)


def failing(times: int, circuit: Circuit) -> list[float]:
    return [circuit.failed() for _ in range(times)]


def test_the_wait_doubles_up_to_the_longest():
    assert failing(4, Circuit(RULES)) == [0.2, 0.4, 0.8, 1.0]


def test_after_so_many_failures_in_a_row_it_is_open_and_waits_long():
    circuit = Circuit(RULES)
    failing(4, circuit)
    assert not circuit.open
    assert circuit.failed() == 30
    assert circuit.open


def test_a_success_forgives_all():
    circuit = Circuit(RULES)
    failing(4, circuit)
    circuit.succeeded()
    assert failing(4, circuit) == [0.2, 0.4, 0.8, 1.0]
    assert not circuit.open


def test_a_start_lets_through_but_the_next_failure_opens_it_again():
    circuit = Circuit(RULES)
    failing(6, circuit)
    circuit.started()
    assert not circuit.open
    assert circuit.failed() == 30
    assert circuit.open
    circuit.started()
    circuit.succeeded()
    assert circuit.failed() == 0.2
    assert not circuit.open


def test_starts_without_a_success_do_not_keep_it_closed():
    circuit = Circuit(RULES)
    for _ in range(5):
        circuit.started()
        circuit.failed()
    assert circuit.open
