"""Files that hold no manifest, as they are not TOML."""

from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.manifest.load import load_manifest


@pytest.mark.parametrize(
    ("content", "why", "todo"),
    [
        (b"service = \n", "(at line 1, column 11)", "fix the line it names"),
        (b'\nservice = "\xff"\n', "line 2 has a letter that is not UTF-8", "save the file as UTF-8"),
        (b"\xff\xfes\0", "line 1 has a letter that is not UTF-8", "save the file as UTF-8"),
        (b"a = " + b"[" * 5000, "recursion", "fix the line it names"),
        (b"\xef\xbb\xbfservice = 'x'\n", "it begins with a byte order mark", "save the file as UTF-8 without one"),
    ],
    ids=["syntax", "latin-1", "utf-16", "nested", "byte-order-mark"],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes, why: str, todo: str) -> None:
    """With the parser's own words for where; a file that looks right in an editor has a remedy of its own."""
    file = tmp_path / "testbay.toml"
    file.write_bytes(content)

    with pytest.raises(ManifestError) as refused:
        load_manifest(tmp_path)

    assert (refused.value.what, refused.value.todo) == (f"{file}: not TOML", todo)
    assert why in refused.value.why
