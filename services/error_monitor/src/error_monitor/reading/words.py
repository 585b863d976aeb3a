"""Words of a line without a header: which may stand above an exception, and which say that something failed."""

import re

BARE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)(?:: |$)")
LOOSE_CHARS, LINE_CHARS = 300, 1000
LOOSE = re.compile(
    r"\b[Uu]n(?:handled|caught) |\b[Ee]xception (?:was )?(?:raised|occurred|in|while|thrown|on)\b"
    r"|^Internal Server Error: "
)
"""What may stand above a traceback; without one it is nothing."""
TOOL = re.compile(r"Error: (?!(?i:0|none|null|nil|no|false|undefined)\b)\S|Error from server")
"""What a command prints before it ends, where no logger writes beside it."""
WORDED = re.compile(
    r"(?!(?i:info|debug|notice|note|hint|trace|verbose|warn(?:ing)?): )(?:[^\w\s]{1,4} )?"
    r"(?:\[[^\[\]]{1,60}\] |<[^<>]{1,60}> |[\w./-]{1,40}(?::\d+)?: |(?=\S{0,60}\d)\S{1,60} ){0,3}"
    r"(?:(?i:failed to|unable to|could not|couldn't|cannot|can't) [a-z]|F(?:atal|ATAL) error\b|Error [a-z]+ing "
    r"|(?:[A-Z][\w-]* ){1,3}Error(?:: | in )(?!0|none)|(?:[a-z][\w-]* ){1,3}error: (?!(?:0|none?)\b(?! \w))"
    r"|Failed (?:to|during|at|while) |(?P<verb>(?:[\w'`.-]+ ){0,6}failed(?:: (?!(?:0|none?)\b(?! \w))|\. |$)))"
)
"""What says that something failed, where no record of the stream has a level."""
CALM = re.compile(
    r"(?i:(?<![\w.])0(?![\w.])|\b(?:no|none|never|if|that|which|when|until|unless|what|how|see|expect\w*|usage|recovered"
    r"|number of)\b)"
)
"""Words before it that make of a failure a count, a condition or an advice."""
ENDINGS = {
    "No such file or directory", "Permission denied", "Connection refused", "Connection reset by peer",
    "Connection timed out", "No space left on device", "Broken pipe", "Is a directory", "Not a directory",
    "Input/output error", "Cannot allocate memory", "Address already in use", "Operation not permitted",
    "Read-only file system", "Too many open files", "Network is unreachable", "No route to host",
    "Device or resource busy", "Name or service not known", "Temporary failure in name resolution", "Host is down",
    "Bad file descriptor", "Disk quota exceeded", "Argument list too long", "Exec format error",
}  # fmt: skip
"""What the C library says of a failed call: behind a colon, it is what a program says of its own."""
DOING = re.compile(
    r"(?:\[[^\[\]]{1,60}\] |<[^<>]{1,60}> |[\w./-]{1,40}: ){0,3}(?:[a-z]+ ){0,2}error (?:while|when|during|in|on) [a-z]"
)
"""`error while decoding`, of a tool that names no level."""
FATE = re.compile(r"[A-Z][\w -]{2,40}(?:\(\w+\))?,? (?:is )?not responding\b")
"""What has become of a process, in a sentence that begins with it."""
NUMBERED = re.compile(r"\[Errno \d+\] |\(os error \d+\)")
"""How Python and Rust print what the system said."""
CONSTANTS = ("_FAIL", "_DENIED", "_REJECTED", "_REFUSED", "_UNREACHABLE")
CONSTANT = re.compile(r"\b(?:[A-Z]+_)+(?:FAILED|FAILURE|DENIED|REJECTED|REFUSED|UNREACHABLE)\b(?!=|: ?0)")
THROWN = re.compile(
    r"(?:^|[\s|:])(?:[A-Z][\w.\\]*)?(?:Error|Exception): .{1,300}"
    r"(?:\(line \d+ of \S+\)|[ (]\S+\.\w+:\d+\)?| on line \d+)\.?$"
)
"""An exception with its place, in one line."""
TROUBLE = re.compile(r"(?i:\b(?:error|exception|failure|failed|crash\w*)\b)")
CHERRYPY = re.compile(r"(?:ENGINE|HTTP|TOOLS(?:\.\w+)?)(?: |$)")
"""The part of CherryPy that writes, behind the time; without a level."""
LABEL = re.compile(r"[\w-]{1,30}: ")
"""How a library's own words begin, below the record that quotes them: `ERROR: relation "x" does not exist`."""


def announces(text: str, *, stamped: bool) -> bool:
    """Return whether the line above a traceback belongs to it; `stamped`: only it has a time."""
    return (text.endswith(":") and bool(TROUBLE.search(text))) or (stamped and bool(CHERRYPY.match(text)))


def may_tell(text: str) -> bool:
    """Return whether `tells` may hold, beside what `hinted` finds: most lines are left at once."""
    return (
        "failed" in text
        or "ailed to " in text
        or "annot " in text
        or "ould not " in text
        or "not responding" in text
        or "nable to " in text
        or "n't " in text
        or "rrno " in text
        or text.rpartition(": ")[2] in ENDINGS
        or ("_" in text and any(map(text.__contains__, CONSTANTS)))
    )


def tells(text: str, *, stamped: bool) -> bool:
    """Return whether a line without a level says that something failed, in a stream whose records have none."""
    before, _, said = text.rpartition(": ")
    if before and said in ENDINGS:
        return not CALM.search(before)
    if found := WORDED.match(text):
        return not CALM.search(text, 0, found.end()) and (stamped or not found["verb"])
    if FATE.match(text) or NUMBERED.search(text) or ("error " in text and _does(text)):
        return True
    is_thrown = "rror: " in text or "xception: " in text
    return (
        stamped
        and len(text) < LINE_CHARS
        and bool((is_thrown and THROWN.search(text)) or ("_" in text and CONSTANT.search(text)))
    )


def _does(text: str) -> bool:
    found = DOING.match(text)
    return found is not None and not CALM.search(text, 0, found.end())


def hinted(text: str) -> bool:
    """Return whether a line holds any word that a beginning holds: most others are left at once."""
    return (  # every line without a header comes here: a loop takes twice as long
        "rror" in text
        or "xception" in text
        or "):" in text
        or " line " in text
        or "raceback" in text
        or "ncaught" in text
        or "nhandled" in text
        or "panic" in text
        or "File" in text
        or "most recent" in text
        or ".rb:" in text
        or "SIGQUIT" in text
        or "Process " in text
    )


def may_open(text: str) -> bool:
    """Return whether a line may stand above a traceback."""
    return len(text) < LOOSE_CHARS and bool(LOOSE.search(text))
