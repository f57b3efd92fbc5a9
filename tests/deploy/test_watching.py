"""Alert rules and the dashboard: they ask for figures that there are, and fire."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orgs.seen import metrics
from tests.support import PROJECT_ROOT, require_program

pytestmark = pytest.mark.once

DEPLOY = PROJECT_ROOT / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"


def _rules() -> list[dict]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def test_each_rule_fires_in_a_test_of_its_own_and_keeps_still_in_another() -> None:
    promtool = require_program("promtool")
    for command in (
        [promtool, "check", "rules", str(RULES)],
        [promtool, "test", "rules", str(DEPLOY / "prometheus/rules_test.yml")],
    ):
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    tests = yaml.safe_load((DEPLOY / "prometheus/rules_test.yml").read_text())["tests"]
    names = {rule["alert"] for rule in _rules()}
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


def test_each_rule_says_what_to_do() -> None:
    for rule in _rules():
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_rules_and_dashboard_ask_for_figures_that_there_are() -> None:
    found = text_string_to_metric_families(metrics.exposition([]).decode())
    names = {family.name for family in found}
    known = {f"{name}{end}" for name in names for end in ("", "_total", "_bucket", "_count")}
    # Looked up when asked for (services/logins/health.py).
    health = (PROJECT_ROOT / "orgs/services/logins/health.py").read_text()
    known |= set(re.findall(r'"(registries_\w+)"', health))
    for file in (RULES, DEPLOY / "grafana/dashboard.json"):
        asked = set(re.findall(r"registries_\w+", _expressions(file)))
        assert len(asked) > 5 and asked <= known, asked - known


def test_labels_that_are_asked_for_are_there() -> None:
    labels = {
        "registries_logins": {"type", "result", "cached"},
        "registries_cloud_call_seconds": {"type", "outcome"},
        "registries_database_seconds": {"statement", "failed"},
        "registries_request_seconds": {"kind", "status"},
    }
    for file in (RULES, DEPLOY / "grafana/dashboard.json"):
        for name, chosen in re.findall(r"(registries_\w+)\{([^}]*)\}", _expressions(file)):
            known = labels[re.sub("_(total|bucket|count)$", "", name)]
            assert set(re.findall(r"(\w+)=", chosen)) <= known, (name, chosen)


def _expressions(file: Path) -> str:
    if file.suffix == ".json":
        panels = json.loads(file.read_text())["panels"]
        return "\n".join(t["expr"] for panel in panels for t in panel["targets"])
    return "\n".join(rule["expr"] for rule in _rules())
