"""Words of a line without a header: which may stand above an exception, and which say that something failed."""

import re

BARE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)(?:: |$)")
HINTS = (
    "File",
    "raceback",
    "xception",
    "rror",
    "Process ",
    "most recent",
    "ncaught",
    "nhandled",
    "panic",
    "SIGQUIT",
    ".rb:",
    "):",
    " line ",
)
LOOSE_CHARS = 300
LOOSE = re.compile(
    r"\b[Uu]n(?:handled|caught) |\b[Ee]xception (?:was )?(?:raised|occurred|in|while|thrown|on)\b"
    r"|^Internal Server Error: "
)
"""What may stand above a traceback; without one it is nothing."""
TOOL = re.compile(r"Error: (?!(?i:0|none|null|nil|no|false|undefined)\b)\S|Error from server")
"""What a command prints before it ends, where no logger writes beside it."""
WORDED = re.compile(
    r"(?:[^\w\s]{1,4} )?(?:\[[^\[\]]{1,60}\] |<[^<>]{1,60}> |[\w./-]{1,40}(?::\d+)?: |(?=\S{0,60}\d)\S{1,60} ){0,3}"
    r"(?:(?i:failed to|unable to|could not|couldn't|cannot|can't) [a-z]|F(?:atal|ATAL) error\b|Error [a-z]+ing "
    r"|(?:[A-Z][\w-]* ){1,3}Error: (?!0|none)|(?:[\w'`.-]+ ){0,6}failed(?:: |\. |$))"
)
"""What says that something failed, where no record of the stream has a level."""
LABEL = re.compile(r"[\w-]{1,30}: ")
"""How a library's own words begin, below the record that quotes them: `ERROR: relation "x" does not exist`."""


def hinted(text: str) -> bool:
    """Return whether a line holds any word that a beginning holds: most others are left at once."""
    return any(map(text.__contains__, HINTS))  # every line without a header comes here: a generator takes twice as long


def may_open(text: str) -> bool:
    """Return whether a line may stand above a traceback."""
    return len(text) < LOOSE_CHARS and bool(LOOSE.search(text))
