"""What is in deploy/: a dashboard that Grafana reads, on metrics that there are, and files that name what there is."""

import json
import re
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy/watch"


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_there_are(root: Path) -> None:
    """Each name in a query is one that `testbay watch` serves; no panel shows 0 where nothing is known."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert "vector(0)" not in asked
    asked += "".join(re.findall(r"(?m)^ *expr: .*$", (FOLDER / "prometheus-alerts.yml").read_text(encoding="utf-8")))
    source = (root / "src/testbay/production/watch/exposition.py").read_text(encoding="utf-8")
    served = set(re.findall(r'"(testbay_[a-z_]+)"', source)) | {"testbay_watch_skipped", "testbay_watch_lost"}
    named = {re.sub(r"_(bucket|total)$", "", name) for name in re.findall(r"testbay_[a-z_]+", asked)}

    assert (named - served, len(dashboard["panels"])) == (set(), 6)


def test_the_image_is_made_of_what_is_there(root: Path) -> None:
    """Each file that it copies, and the package that it installs; Railway builds the same."""
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"(?m)^COPY (.*) \S+$", dockerfile) for name in line.split()]
    railway = json.loads((FOLDER / "railway.json").read_text(encoding="utf-8"))

    assert [name for name in copied if not (root / name).exists()] == []
    assert (root / railway["build"]["dockerfilePath"]).is_file()
    assert tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["testbay"]
