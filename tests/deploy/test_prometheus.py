"""Prometheus's configuration, its alerts with their cases, and what Grafana draws."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.tools import DEPLOY, PROMTOOL, output
from tests.server import Server

PROMETHEUS = DEPLOY / "prometheus"
GRAFANA = DEPLOY / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def test_prometheus_takes_its_configuration():
    said = output(PROMTOOL, "check", "config", PROMETHEUS / "prometheus.yml")
    assert "1 rule files found" in said


def test_alerts_are_well_formed():
    assert "SUCCESS" in output(PROMTOOL, "check", "rules", PROMETHEUS / "alerts.yml")


def test_each_alert_comes_when_it_must_and_not_before():
    assert "SUCCESS" in output(PROMTOOL, "test", "rules", PROMETHEUS / "tests/alerts.yml")


def test_every_alert_has_a_case():
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    named = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    cases = yaml.safe_load((PROMETHEUS / "tests/alerts.yml").read_text())
    tested = {
        case["alertname"]
        for test in cases["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert tested == named


@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_asked_for_is_measured(server: Server, http):
    async with http.get(f"{server.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
        known = {sample.name for family in families for sample in family.samples}
        # Of TURN servers there is a sample each, and this server knows none.
        known |= {family.name for family in families if family.name.startswith("surtitle_turn_")}
    asked = "".join(path.read_text() for path in [PROMETHEUS / "alerts.yml", *DASHBOARDS])
    names = set(re.findall(r"\bsurtitle_\w+", asked))
    assert names
    assert names <= known, f"nobody measures {names - known}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_the_source_that_is_provided(path):
    dashboard = json.loads(path.read_text())
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    uid = sources["datasources"][0]["uid"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == uid
        assert all(target["datasource"]["uid"] == uid for target in panel["targets"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_prometheus_understands_what_a_dashboard_asks(path, tmp_path):
    panels = json.loads(path.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"dashboard:{number}", "expr": expr} for number, expr in enumerate(asked)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(asked)} rules found" in output(PROMTOOL, "check", "rules", file)
