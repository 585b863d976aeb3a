"""The service that lines come from: one name for all its replicas, days and containers.

Severity rises with the number of services that have a pattern. A name for each pod, container or day would raise it
for every restart.
"""

import json
import re
from pathlib import Path

_KUBELET_LINK = re.compile(r"[a-z0-9.-]+_[a-z0-9-]+_(?P<container>[a-z0-9-]+)-[0-9a-f]{64}\.log")
_POD_FOLDER = re.compile(r"[a-z0-9-]+_[a-z0-9.-]+_[0-9a-f-]{32,36}")
_DOCKERS = re.compile(r"(?P<id>[0-9a-f]{64})-json\.log")
_DATE = r"(?:(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d(?:[-_T.]?\d\d(?:[-_.:]?\d\d){0,2})?)"
_DATED = re.compile(rf"^{_DATE}(?!\d)[-_.]?|[-_.]?(?<!\d){_DATE}(?:[-_.]\d{{1,3}})?$")
_KUBERNETES = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of the ids that Kubernetes makes up."""
_OF_A_POD = rf"-(?:[{_KUBERNETES}]{{6,10}}|\d{{8}})-[{_KUBERNETES}]{{5}}"
"""Behind the name of a deployment, or of a job that runs at times: the minute of its run, since 1970."""
_POD = re.compile(rf"^(?:pod/)?(?P<name>[a-z0-9][a-z0-9-]*?){_OF_A_POD}(?:/.*)?$")
_REPLICA = re.compile(r"(?<=[A-Za-z])[-_.]\d{1,3}$")
_LABELS = ("com.docker.compose.service", "com.docker.swarm.service.name", "io.kubernetes.container.name")


def plain(name: str) -> str:
    """A name without the number or the id of one replica: of web-1, web.2 and web-6d4cf56db6-zx2jk it is web."""
    if found := _POD.match(name):
        return found["name"]
    return _REPLICA.sub("", name)


def of_container(labels: dict[str, str], name: str) -> str:
    """The service of a container: as Compose, Swarm or Kubernetes names it, else the container's name."""
    return next((str(labels[label]) for label in _LABELS if labels.get(label)), plain(name))


def of_file(path: Path) -> str:
    """The service of a log file: as the layouts of Kubernetes and Docker name it, else the file's name, undated."""
    name = path.name
    if found := _KUBELET_LINK.fullmatch(name):
        return found["container"]
    if len(path.parts) > 3 and _POD_FOLDER.fullmatch(path.parts[-3]):
        return path.parts[-2]
    if found := _DOCKERS.fullmatch(name):
        return _of_docker(path.parent) or found["id"][:12]
    undated = (_DATED.sub("", part) for part in (name.partition(".")[0], *(folder.name for folder in path.parents)))
    return next((plain(part) for part in undated if part.strip("0123456789")), name)


def _of_docker(folder: Path) -> str:
    """The service that Docker's own file beside the log names; nothing where it cannot be read."""
    try:
        found = json.loads((folder / "config.v2.json").read_bytes())
        return of_container(found["Config"].get("Labels") or {}, str(found["Name"]).lstrip("/"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return ""
