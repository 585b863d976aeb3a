"""Which services there are, and which of them are asked for, how, and whether that can be run."""

import os

OF_A_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Refused(Exception):  # noqa: N818 - it is no error of ours
    """What cannot be run, with the exit code that says so."""

    def __init__(self, exit_code: int, what: str, *, why: str = "", todo: str, evidence: str = "") -> None:
        parts = {"why:": why, "do:": todo, "evidence:": evidence}
        lines = [f"  {name:<9} {text}" for name, text in parts.items() if text]
        super().__init__("\n".join([f"run-integration-tests: {what}", *lines]))
        self.exit_code = exit_code


def say(text: str) -> None:
    """Say a line. What cannot be said is an error: those who read an empty answer would take it for one."""
    try:
        show(os.fsencode(f"{text}\n"))
    except OSError as error:
        todo = "send it to a file or a program that takes it all"
        raise Refused(1, f"standard output cannot be written to: {error.strerror}", todo=todo) from error


def show(words: bytes) -> None:
    """Write to standard output, at once; a folder's name may hold any byte."""
    while words:
        words = words[os.write(1, words) :]


def tell(text: str) -> None:
    """Say a line beside the output."""
    try:
        os.write(2, os.fsencode(f"{text}\n"))
    except OSError:
        return  # to whom?


def services() -> list[str]:
    """All services. A manifest without a runner, or the reverse, is an error: tests left out would look passed."""
    found = []
    for name in sorted(os.listdir("services") if os.path.isdir("services") else ()):
        folder = f"services/{name}"
        script = f"{folder}/scripts/ci/run-tests.sh"
        manifest = has_manifest(folder)
        if name.startswith(".") or not (manifest or os.path.exists(script)):
            continue  # a library, a cache: not a service
        if not manifest:
            why = "neither [tool.testbay] in its pyproject.toml nor a testbay.toml was found"
            todo = "add one (docs/add-a-service.md)"
            raise Refused(10, f"{folder} has a tier 3 script and no manifest", why=why, todo=todo)
        if not (os.path.isfile(script) and os.access(script, os.X_OK)):
            why, todo = f"{script} is missing or not executable", "copy that of another service; chmod +x it"
            raise Refused(10, f"{folder} has a manifest and no tier 3 script", why=why, todo=todo)
        if name.startswith("-") or not set(name) <= OF_A_NAME:
            why, todo = (
                "names travel through shells, SQL and NATS subjects",
                "rename the folder: a-z, 0-9, _ and - only",
            )
            raise Refused(10, f"{folder} is not a name for a service", why=why, todo=todo)
        found.append(name)
    if not found:
        why, todo = "services/ holds none", "see docs/add-a-service.md"
        raise Refused(15, "there is no service to test", why=why, todo=todo)
    return found


def has_manifest(folder: str) -> bool:
    """Return whether it has a testbay.toml, or a pyproject.toml with that table."""
    if os.path.isfile(f"{folder}/testbay.toml"):
        return True
    try:
        with open(f"{folder}/pyproject.toml", "rb") as file:
            return any(line.startswith(b"[tool.testbay]") for line in file)
    except OSError:
        return False


def chosen(known: list[str], *words: str) -> tuple[list[str], int]:
    """Which services run, and how many at once. A shard is handed to tier 3, which checks it, in a variable."""
    at_once = len(os.sched_getaffinity(0))
    while words and words[0].startswith("--"):
        option, value, words = words[0], "".join(words[1:2]), words[2:]
        if option == "--shard":
            if not value:
                why, todo = "which part of the tests, of how many?", "--shard 2/4"
                raise Refused(10, "--shard needs a value", why=why, todo=todo)
            os.environ["TESTBAY_SHARD"] = value
        elif option == "--jobs":
            if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= 99 and value[0] != "0"):
                raise Refused(10, "--jobs needs a number", why="how many services at once?", todo="--jobs 2")
            at_once = int(value)
        else:
            raise unknown(option, "see what there is")
    return named(known, *words), at_once


def named(known: list[str], *names: str) -> list[str]:
    """These services; all, where none is named."""
    for name in names:
        if name not in known:
            todo = "name one of these, or none for all"
            raise Refused(10, f"there is no service '{name}'", why=f"services/ holds: {' '.join(known)}", todo=todo)
    return [*names] or known


def unknown(option: str, why: str) -> Refused:
    """The refusal of an option."""
    return Refused(10, f"unknown option {option}", why=why, todo="scripts/ci/run-integration-tests.sh --help")


def answer(known: list[str], *words: str) -> None:
    """Print the services' names, a line each, or a job for each of their shards."""
    as_json = False
    since: str | None = None
    while words and words[0].startswith("--"):
        option, words = words[0], words[1:]
        if option == "--json":
            as_json = True
        elif option != "--changed-since":
            raise unknown(option, "--list takes --json and --changed-since")
        elif not words:
            todo = 'name one, or "" for all services'
            raise Refused(10, "--changed-since needs a commit", why="since when?", todo=todo)
        else:
            since, words = words[0], words[1:]  # empty where a person started it: all of them
    if since is not None and not as_json:  # `--changed-since --json` has taken the option for the commit
        why, todo = "names are listed whatever has changed", "--list --json --changed-since COMMIT"
        raise Refused(10, "--changed-since needs --json", why=why, todo=todo)
    names = named(known, *words)
    if as_json:
        import matrix

        matrix.announce(matrix.jobs(since or "", names))
    else:
        say("\n".join(names))


def refuse_without_one(known: list[str], *words: str) -> None:
    """Secrets are those of one service."""
    if not words:
        why = "secrets are fetched for one service, as its manifest names them"
        todo = f"scripts/ci/run-integration-tests.sh --with-secrets {known[0]}"
        raise Refused(10, "--with-secrets needs the name of a service", why=why, todo=todo)
    named(known, words[-1])


def refuse_without_key() -> None:
    """At home a missing key means replay; in CI it would mean that the live path is never tested and nobody notices."""
    key, llm, ci = (os.environ.get(name, "") for name in ("OPENAI_API_KEY", "TESTBAY_LLM", "CI"))
    if key or llm == "replay" or (llm != "live" and ci.lower() not in {"1", "true", "yes"}):
        return
    why = "the secret did not reach this step, or this job was never meant to have it"
    todo = "hand it to the step, or ask for the stand-in by name: TESTBAY_LLM=replay"
    raise Refused(14, "OPENAI_API_KEY is not set", why=why, todo=todo, evidence=f"CI={ci} TESTBAY_LLM={llm}")
