"""Log files as applications write them."""

import os
from pathlib import Path


def failure(what: str, *, kind: str = "ValueError", where: str = "pay") -> str:
    """A traceback as Python prints it; each `where` is a pattern of its own."""
    return (
        "Traceback (most recent call last):\n"
        f'  File "/srv/shop/{where}.py", line 7, in {where}\n'
        f"    {where}()\n"
        f"{kind}: {what}\n"
    )


class LogFolder:
    """A folder of log files; `where` is the word for the pattern that its tracebacks have, unless another is given."""

    def __init__(self, path: Path, where: str = "pay") -> None:
        self.path = path
        self.where = where
        self._requests = 0

    def write(self, text: str | bytes, name: str = "shop.log") -> Path:
        """Append to a file, as a logger does."""
        file = self.path / name
        with file.open("ab") as log:
            log.write(text.encode() if isinstance(text, str) else text)
        return file

    def fail(self, count: int = 1, *, where: str = "", name: str = "shop.log", kind: str = "ValueError") -> Path:
        """Append tracebacks of one pattern."""
        text, where = "", where or self.where
        for _ in range(count):
            self._requests += 1  # no two lines of a real log are the same
            text += f"INFO request {self._requests}\n" + failure(f"no {where}", kind=kind, where=where)
        return self.write(text, name)

    def rotate(self, name: str = "shop.log", keep: int = 5) -> None:
        """Rename app.log to app.log.1 and so on, as logrotate and RotatingFileHandler do."""
        for number in range(keep, 0, -1):
            older = self.path / f"{name}.{number}"
            if older.exists():
                os.rename(older, self.path / f"{name}.{number + 1}")  # noqa: PTH104
        os.rename(self.path / name, self.path / f"{name}.1")  # noqa: PTH104
