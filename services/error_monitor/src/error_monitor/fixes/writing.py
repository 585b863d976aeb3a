"""Characters that make a file read otherwise than it is checked."""

import re
import unicodedata
from collections import Counter

from error_monitor.fixes.records import RefusedError

_CODING = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_UTF_8 = {"utf-8", "utf8", "utf_8"}
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def check(before: str, after: str, path: str) -> None:
    """Refuse another encoding, and characters that are invisible or that some readers take for the end of a line.

    Python decodes a file by its coding line, but the rails read it as UTF-8. Coverage, diffs and Python disagree about
    where a line ends.

    Raises:
        RefusedError: The file has such a line, or more such characters than before.
    """
    for line in after.split("\n", 2)[:2]:
        if (found := _CODING.match(line)) and found[1].lower() not in _UTF_8:
            raise RefusedError(4, f"{path} declares the encoding {found[1][:40]}: a fix is UTF-8")
    if after.isascii() and after.replace("\n", "").replace("\t", "").isprintable():
        return
    more = Counter(after) - Counter(before)
    unseen = [one for one in more if one not in "\n\t" and unicodedata.category(one) in _UNSEEN]
    if unseen:
        raise RefusedError(4, f"{path} contains the character U+{ord(unseen[0]):04X}, which is invisible")
