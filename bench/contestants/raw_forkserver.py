"""The floor for bench/service.py: load modules, fork for each line, become the program; no more than that.

Usage: raw_forkserver.py MODULES.json; each line read is {"argv", "env", "cwd", "log"}, answered by its pid.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path

gc.disable()
for name in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["modules"]:
    with contextlib.suppress(Exception):
        importlib.import_module(name)
gc.freeze()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)
    if pid := os.fork():
        print(pid, flush=True)
        continue
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    gc.enable()
    sys.argv = asked["argv"]
    exec(compile(Path(sys.argv[0]).read_bytes(), sys.argv[0], "exec"), {"__name__": "__main__"})  # noqa: S102
    os._exit(0)
