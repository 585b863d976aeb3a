"""A row for each crash that runtimes, tools and kernels print without a level."""

import re
import string
from dataclasses import dataclass

NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One crash. The groups `type`, `message`, `file`, `line` and `function` may stand in each of its patterns."""

    name: str
    first: str
    """The characters that it can begin with."""
    needs: str
    """What stands in its first line: most others are left at once."""
    begins: re.Pattern[str]
    goes: re.Pattern[str] = NEVER
    """The lines that go on with it."""
    says: re.Pattern[str] = NEVER
    """What the lines below the first one say of the fault."""
    call: re.Pattern[str] = NEVER
    """A frame; the innermost one comes first."""
    library: re.Pattern[str] = NEVER
    """Files and functions that are not the application's."""
    kind: str
    """The type, where none is printed."""
    level: str
    above: bool
    """The message stands in the line above the one that it can be known by."""
    block: bool
    """A blank line ends it, and it has a level of its own among its lines."""


def _row(  # how a row of the table is written
    name: str,
    first: str,
    begins: str,
    *,
    needs: str = "",
    kind: str = "crash",
    level: str = "critical",
    above: bool = False,
    block: bool = False,
    **more: str,
) -> Crash:
    patterns = {column: re.compile(pattern) for column, pattern in {"begins": begins, **more}.items()}
    return Crash(name=name, first=first, needs=needs, kind=kind, level=level, above=above, block=block, **patterns)


FIELD = r"\s*(?:{})\s*[:=] ?"
LETTERS = string.ascii_letters + "_"
PLACE = r"(?P<file>[^\s():]+):(?P<line>\d+)"
ROWS = (
    _row(
        "an event, a field a line, as Windows and journald show it",
        "LTDISEPlti[M \t",
        r"Event\[\d+\]:?$|\[s=[\da-f]+;i=|\s*(?:Log Name|TimeCreated|TimeGenerated|Time[Ww]ritten|ProviderName)\s*:",
        goes=r".*\S",
        says=FIELD.format("Level(?:DisplayName)?|EntryType|Severity|PRIORITY")
        + r"(?P<level>\w+)$|"
        + FIELD.format("Date|TimeCreated|TimeGenerated")
        + r"(?P<time>\d.+)|"
        + FIELD.format("Message|MESSAGE")
        + r"(?P<message>\S.*)|(?P<last>\S[^:=]* .*)",
        kind="",
        block=True,
    ),
    _row(
        "D",
        LETTERS,
        r"(?P<type>[\w.]+(?:Error|Exception|Failure))@(?P<file>[^()]+)\((?P<line>\d+)\)(?:: (?P<message>.*))?$",
        goes=r"-+$|\S+:\d+ |\?\?:\?",
        call=rf"{PLACE} (?:\S+ )?(?P<function>[\w.]+)\(?",
        library=r"^(?:/usr|\.\./\.\.)/",
        needs="@",
    ),
    _row(
        "Ada",
        "r",
        r"raised (?P<type>[A-Z][A-Z\d_.]*) : (?:(?P<file>[\w.-]+):(?P<line>\d+) )?(?P<message>.*)",
        goes=r"Call stack traceback|0x|Execution terminated|\[",
    ),
    _row("MPI", "M", r"MPI_ABORT was invoked (?P<message>.*)", goes=r"with errorcode ", kind="MPI_ABORT"),
    _row(
        "Common Lisp",
        "U",
        r"Unhandled (?P<type>[A-Z][A-Z\d:-]+)(?: in thread #<.*>)?:(?: (?P<message>.+))?$",
        goes=r"\s|Backtrace for: |\d+: |unhandled condition",
        says=r"  (?P<message>\S.*)",
        call=r"\d+: \((?P<function>(?!SB-|ERROR|CL:|COMMON-LISP)\S+)",
    ),
    _row(
        "a panic that color-eyre shows",
        "T",
        r"The application panicked \(crashed\)\.$",
        goes=r"Message: |Location: |\s+[\u2501\u22ee]|\s+\d+: |\s+at |Run with |Backtrace omitted",
        says=rf"Message:\s+(?P<message>.+)|Location:\s+{PLACE}",
        kind="panic",
    ),
    _row(
        "Haskell",
        "C",
        r"CallStack \(from HasCallStack\):$",
        goes=r"\s+\w\S*, called at ",
        says=r"[\w.-]+: (?P<message>.+)",
        call=rf"\s+(?P<function>\S+), called at {PLACE}:\d+",
        library=r"^libraries/",
        kind="ErrorCall",
        above=True,
    ),
    _row(
        "Haskell since GHC 9.10",
        LETTERS,
        r"[\w.-]+: Uncaught exception [\w.-]+:(?:\w+\.)*(?P<type>\w+):$",
        goes=r"(?!\d{4}-)\S.*$|\s+\w\S*, called at ",
        says=r"(?!HasCallStack)(?P<message>\S.+)",
        call=rf"\s+(?P<function>\S+), called at {PLACE}:\d+",
        library=r"^libraries/",
        needs=": Uncaught exception ",
    ),
    _row(
        "OCaml",
        "F",
        r"Fatal error: exception (?P<type>[\w.]+)(?:\((?P<message>.*)\)|: (?P<said>.*))?$",
        goes=r"(?:Re-r|R)aised |Called from ",
        call=r"(?:Called from|(?:Re-r|R)aised at) (?:(?P<function>\S+) in )?file \"(?P<file>[^\"]+)\"(?: \(inlined\))?,"
        r" line (?P<line>\d+)",
        library=r"^(?:Stdlib|CamlinternalLazy)|^(?:stdlib|list|map|hashtbl|string|array)\.ml$",
    ),
    _row(
        "gdb",
        "P",
        r"Program (?:received|terminated with) signal (?P<type>SIG\w+)(?:, |: )(?P<message>.*)\.$",
        goes=r"0x[\da-f]+ in |\d+\t|#\d+ |Backtrace for ",
        call=rf"#\d+\s+(?:0x[\da-f]+ in )?(?P<function>\S+)(?: \(.*\))? at {PLACE}",
        library=r"^\./(?:nptl|stdlib|malloc|string|sysdeps)/|^\.\./sysdeps/",
    ),
    _row(
        "Fortran",
        "A",
        r"At line (?P<line>\d+) of file (?P<file>\S+)",
        goes=r"Fortran runtime error: ",
        says=r"(?P<type>Fortran runtime error): (?P<message>.*)",
    ),
    _row(
        "UBSan",
        LETTERS + "/",
        rf"{PLACE}:\d+: runtime error: (?P<message>.*)",
        goes=r"\s+#\d+ |SUMMARY: |note: ",
        call=rf"\s+#\d+ 0x[\da-f]+ in (?P<function>\S+).*? {PLACE}",
        kind="UndefinedBehaviorSanitizer",
        level="error",
        needs=": runtime error: ",
    ),
    _row(
        "ThreadSanitizer, Go's race detector",
        "W",
        r"WARNING: (?P<type>ThreadSanitizer|DATA RACE)(?:: (?P<message>[\w -]+?))?(?: \(pid=\d+\))?$",
        goes=r"\s|SUMMARY: |Write at |Read at |Previous |Goroutine \d+ ",
        call=r"\s+(?:#\d+ (?P<function>\S+) )?(?P<file>/\S+?):(?P<line>\d+)",
        library=r"/usr/local/go/src/",
        level="error",
    ),
    _row(
        "valgrind",
        "=",
        r"==\d+== (?P<type>Invalid (?:read|write|free)|Conditional jump|Use of uninit|Syscall param|Mismatched free"
        r"|Process terminating)(?P<message>.*)",
        goes=r"==\d+== {3,}(?:at|by) 0x|==\d+==  \S",
        call=rf"==\d+== +(?:at|by) 0x[\dA-F]+: (?P<function>\S+) \({PLACE}\)",
        level="error",
    ),
    _row(
        "a failed assertion of C",
        LETTERS + "/",
        r"[\w./-]+: (?P<file>[\w./-]+\.\w{1,4}):(?P<line>\d+): (?P<function>.{1,200}?): "
        r"Assertion `(?P<message>.+)' failed\.",
        kind="Assertion",
        needs=": Assertion `",
    ),
    _row(
        "Objective-C",
        LETTERS + "*",
        r"(?:\S+\[\d+:\w+\] )?\*\*\* Terminating app due to uncaught exception '(?P<type>\w+)', "
        r"reason: '(?P<message>.*)'",
        needs="*** Terminating app ",
        goes=r"\*\*\* First throw|\($|\)$|\s+\d+ +\S+ +0x|libc\+\+abi: ",
        call=r"\s+\d+ +(?P<file>\S+) +0x[\da-f]+ (?P<function>[+-]?\[.+?\]|\S+)",
        library=r"^(?:CoreFoundation|libobjc.*|libsystem.*|libdispatch.*|UIKit\w*|Foundation|GraphicsServices|dyld)$",
    ),
    _row(
        "Nim",
        "E",
        r"Error: unhandled exception: (?P<message>.*) \[(?P<type>\w+)\]$",
    ),
    _row(
        "Zig",
        "t",
        r"thread \d+ panic: (?P<message>.*)",
        goes=rf"{PLACE}:\d+: 0x|\s",
        call=rf"{PLACE}:\d+: 0x[\da-f]+ in (?P<function>\S+)",
        library=r"/lib/std/",
        kind="panic",
    ),
    _row(
        "Clojure",
        "ES",
        r"(?:Execution error|Syntax error)(?: \((?P<type>[\w.]+)\))?.*? at (?:(?P<function>[\w./$*+!?<>=-]+) )?"
        r"\((?P<file>[\w./-]+):(?P<line>\d+)(?::\d+)?\)\.$",
        goes=r"(?!\d{4}-).*\S",
        says=r"(?P<message>\S.*)",
        kind="CompilerException",
        level="error",
    ),
    _row(
        "IPython",
        LETTERS,
        r"(?P<type>[A-Za-z_]\w*) {2,}Traceback \(most recent call last\)$",
        goes=r"(?:File|Cell) |\s|-+>|\w+: ",
        says=r"(?!File |Cell )[A-Za-z_]\w*: (?P<message>.*)",
        call=r"File (?P<file>\S+?):(?P<line>\d+), in (?P<function>\w+)",
        library=r"[/\\](?:site|dist)-packages[/\\]|/lib/python\d",
        level="error",
        needs="Traceback (",
    ),
    _row(
        "Julia's logger",
        "\u250c",
        r"\u250c Error: (?P<message>.*)",
        goes=r"[\u2502\u2514]",
        call=rf"[\u2502\u2514] *@ \S+ {PLACE}",
        library=r"^\./",
        kind="Error",
        level="error",
    ),
    _row(
        "Terraform",
        "\u2502",
        r"\u2502 Error: (?P<message>.*)",
        goes=r"[\u2502\u2575]",
        says=r"\u2502 +on (?P<file>\S+) line (?P<line>\d+)",
        kind="Error",
        level="error",
    ),
    _row(
        "Lua",
        "l",
        r"lua(?:jit|[\d.]*): (?P<message>.*)",
        goes=r"stack traceback:|\t",
        call=rf"\t{PLACE}: in (?P<function>.+)",
        kind="Error",
    ),
    _row(
        "Tcl",
        " ",
        r"    while executing$",
        goes=r"\"|\s+(?:\(|invoked |while )",
        says=r"(?P<message>\S.*)",
        call=r"\s+\((?:procedure \"(?P<function>[^\"]+)\" line|file \"(?P<file>[^\"]+)\" line) (?P<line>\d+)\)",
        kind="Error",
        level="error",
        above=True,
    ),
    _row(
        "R",
        "E",
        r"Error in (?P<function>.{1,200}?) : (?P<message>.*)",
        goes=r"Calls: |Execution halted|  \S",
        kind="Error",
        level="error",
    ),
    _row(
        "PowerShell",
        LETTERS,
        r"[\w-]+: (?P<file>\S+\.ps1):(?P<line>\d+)$",
        goes=r"Line \|| +\d* +\|",
        level="error",
        says=r" +\| +(?!~)(?P<message>\S.*)",
        kind="Error",
        needs=".ps1:",
    ),
    _row(
        "Gradle",
        "F",
        r"FAILURE: (?P<message>Build failed .*)",
        goes=r"\* |Execution failed|> ",
        says=r"(?P<message>Execution failed .*)",
        kind="failure",
        level="error",
    ),
    _row(
        "npm",
        "n",
        r"npm (?:error|ERR!) code (?P<type>\w+)",
        goes=r"npm (?:error|ERR!)",
        says=r"npm (?:error|ERR!) (?P<message>(?!code|errno|syscall|path).*)",
        level="error",
    ),
    _row(
        "Elixir, of a script",
        "*",
        r"\*\* \((?P<type>[A-Z][\w.]*)\) (?P<message>.*)",
        goes=r"\s+\S",
        call=rf"\s+(?:\((?P<app>\w+)[^)]*\) )?{PLACE}: (?P<function>.+)",
        library=r"^(?:elixir|stdlib|kernel)",
        level="error",
    ),
    _row(
        "Go's tests",
        "-",
        r"--- FAIL: (?P<message>\S+) \(",
        goes=r"\s{4}",
        says=rf"\s+{PLACE}: ",
        kind="failed test",
        level="error",
    ),
    _row(
        "pytest",
        "F",
        r"FAILED (?P<file>[^\s:]{1,300})::(?P<function>\S{1,300})(?: - (?P<message>.*))?$",
        kind="failed test",
        level="error",
    ),
    _row("RSpec", "r", r"rspec (?P<file>\./\S+):(?P<line>\d+) # (?P<message>.*)", kind="failed test", level="error"),
    _row(
        "mocha",
        " ",
        r"\s{6}(?P<type>AssertionError)(?: \[\w+\])?: (?P<message>.*)",
        goes=r"\s|\S+ !== \S+$",
        call=rf"\s+at (?P<function>.*?) \({PLACE}:\d+\)",
        level="error",
    ),
    _row(
        "jest",
        " ",
        r"  \u25cf (?P<message>.+ \u203a .+)",
        goes=r"\s{4}",
        call=rf"\s+at (?P<function>.*?) \({PLACE}:\d+\)",
        kind="failed test",
        level="error",
    ),
    _row(
        "the kernel",
        "BUKG",
        r"(?P<type>BUG|Unable to handle kernel|Kernel panic|general protection fault)(?P<message>[:, ].*)",
        goes=r"#PF: |Oops: |CPU: |RIP: |Call Trace:|[ <]|Code: |---\[ end|Modules linked|[A-Z][A-Z\d]+: |Hardware name",
        says=r"RIP: [\da-f]+:(?P<function>\w+)\+0x",
        needs=":",
    ),
)
