"""Files for the bookkeeper."""

from pathlib import Path


def write(folder: Path, month: str, rows: list) -> Path:
    """One file a month; its path."""
    path = folder / month[:4] / f"{month}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        file.writelines(f"{number};{amount}\n" for number, amount in rows)
    return path


def read(path: Path) -> list:
    """The rows of a file."""
    with open(path) as file:
        return [tuple(int(part) for part in line.split(";")) for line in file]
