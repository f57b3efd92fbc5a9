"""`python -m bench.faults.watched`: the dashboard, drawn from what a real Prometheus scraped.

Two servers under load and some of the faults; each panel's expressions are asked of
Prometheus as Grafana would, and drawn plainly into docs/guide/pictures/dashboard.png. Grafana
itself isn't needed, and draws them more finely.
"""

from __future__ import annotations

import html
import json
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.support import require_program, tied_to_us

from . import load
from .__main__ import standing
from .faults import FAULTS
from .house import ROOT, free_port

STEP = 2  # seconds from one scrape to the next
COLOURS = ("#0b5d66", "#b4501a", "#5b53a5", "#3c7d2c", "#a8324a", "#7a6a1f", "#2f6fb0", "#666666")
WIDTH, HEIGHT = 360, 130


def main() -> None:
    with standing(short=True) as house, tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        port, place = free_port(), Path(name)
        targets = [f"127.0.0.1:{server.port}" for server in house.servers]
        config = place / "prometheus.yml"
        scrape = {"job_name": "valohai-registries", "static_configs": [{"targets": targets}]}
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": f"{STEP}s", "evaluation_interval": "5s"},
                    "rule_files": [str(ROOT / "deploy/prometheus/rules.yml")],
                    "scrape_configs": [scrape],
                }
            )
        )
        command = [require_program("prometheus"), f"--config.file={config}"]
        command += [f"--storage.tsdb.path={place / 'data'}", "--log.level=error"]
        command += [f"--web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen(tied_to_us(command)) as prometheus:
            began = time.time()
            with load.steady(house.scene.address, house.scene.ours):
                time.sleep(30)
                for fault in ("cloud-denies", "killed-server", "postgres-read-only"):
                    for _ in FAULTS[fault].work(house):
                        pass
                    house.aws.clear_faults()
                    time.sleep(15)
                house.cold()
                time.sleep(20)
            panels = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())["panels"]
            drawn = [_panel(panel, port, began) for panel in panels]
            firing = _asked(port, "/api/v1/alerts", {})["alerts"]
            prometheus.terminate()
    print("alerts:", sorted({alert["labels"]["alertname"] for alert in firing}))
    _picture("".join(drawn), ROOT / "docs/guide/pictures/dashboard.png")


def _asked(port: int, path: str, query: dict[str, Any]) -> Any:
    address = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)["data"]


def _panel(panel: dict[str, Any], port: int, began: float) -> str:
    lines: list[tuple[str, list[tuple[float, float]]]] = []
    now = time.time()
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", f"{STEP * 5}s")
        asked = {"query": query, "start": began, "end": now, "step": STEP}
        for series in _asked(port, "/api/v1/query_range", asked)["result"]:
            label = target["legendFormat"]
            for name, value in series["metric"].items():
                label = label.replace("{{" + name + "}}", value)
            points = [(float(at), float(value)) for at, value in series["values"]]
            lines.append((label, [p for p in points if p[1] == p[1]]))
    most = max((value for _, points in lines for _, value in points), default=0.0) or 1.0
    print(f"{panel['title']}: {len(lines)} lines, at most {most:.3g}")
    drawn, legend = "", ""
    for number, (label, points) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{(at - began) / (now - began) * WIDTH:.1f},{HEIGHT - value / most * HEIGHT:.1f}"
            for at, value in points
        )
        drawn += f'<polyline points="{path}" stroke="{colour}"/>'
        legend += f'<span style="color:{colour}">— {html.escape(label)}</span> '
    title, unit = html.escape(panel["title"]), panel["fieldConfig"]["defaults"]["unit"]
    return (
        f"<figure><figcaption>{title} <small>{unit}, to {most:.3g}</small></figcaption>"
        f"<svg viewBox='-2 -2 {WIDTH + 4} {HEIGHT + 4}'>"
        f"<rect width='{WIDTH}' height='{HEIGHT}'/>{drawn}</svg><p>{legend}</p></figure>"
    )


def _picture(panels: str, file: Path) -> None:
    from playwright.sync_api import sync_playwright

    from pictures.taking import ARGUMENTS, CHROMIUM

    page_text = (
        "<style>body{font:13px system-ui;display:grid;grid-template-columns:repeat(3,1fr);"
        "gap:12px;margin:12px;width:1176px}figure{margin:0;border:1px solid #ddd;padding:8px}"
        "figcaption{font-weight:600}small{font-weight:400;color:#555}p{margin:4px 0 0;"
        "font-size:11px}svg{width:100%}rect{fill:#f7f7f5}polyline{fill:none;stroke-width:1.5}"
        f"</style>{panels}"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 400})
        page.set_content(page_text)
        file.parent.mkdir(exist_ok=True)
        page.screenshot(path=file, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
