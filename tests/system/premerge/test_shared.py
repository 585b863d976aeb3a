"""How many processes of a service its checks before a merge start."""

from tests.system.conftest import Bay

HEAD = """
service = "shop"
needs = []
workers = 2
start = "sh -c 'echo started >> starts.txt; exec python3 -m http.server {port} --bind 127.0.0.1'"
ready = "/"
"""


def check(name: str, asks: str = "get = '/'") -> str:
    return f'[[check]]\nid = "{name}"\nkind = "http"\n{asks}\nexpect = ["status in (200, 501)"]\n'


def test_checks_that_only_read_ask_one_process(bay: Bay) -> None:
    """One that writes has a process of its own; workers are for tests, each would start one more."""
    reads = "".join(check(f"read-{number}") for number in range(4))
    manifest = HEAD + reads + check("write", "post = '/'\nwrites = true")
    (bay.service / "testbay.toml").write_text(manifest, encoding="utf-8")

    done = bay.run("check", "shop", "--phase", "pre-merge")

    assert (done.code, "5 passed" in done.out, "Coverage:" in done.out) == (0, True, False), done.out
    assert (bay.service / "starts.txt").read_text(encoding="utf-8").count("started") == 2
