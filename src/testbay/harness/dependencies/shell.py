"""Parsing simple shell commands, for compose files that start a server behind `sh -c`. Nothing is executed."""

import re
from collections.abc import Callable, Mapping, Sequence

HARMLESS = ("set", "echo", "mkdir", "chown", "chmod", "sleep", "cd", "umask", "ulimit", "true", ":", "export", "wait")

_KEYWORDS = ("for", "while", "until", "case", "do", "function", "!", "shift")
_TESTS = {"[": ["]"], "[[": ["]]"], "test": []}  # with what closes each
# What the image, Docker or the shell sets: where the compose file does not, it is unknown, not empty.
_SET_ELSEWHERE = re.compile(
    r"HOSTNAME|HOME|PATH|(?:OLD)?PWD|USER|LANG|E?UID|P?PID|RANDOM|SECONDS|(?:BASH|PG|GOSU|BITNAMI|OS)_\w+|BASH|PGDATA"
    r"|(?:REDIS|VALKEY)_(?:VERSION|DOWNLOAD_\w+)"
)
_SETS_UNSEEN = (".", "source", "eval", "read")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_BRACED = re.compile(r"\{([A-Za-z_]\w*)(?:(:?[-?+])(.*))?\}", re.DOTALL)
_BRACES = re.compile(r"\{(?:[^{}]|\$\{[^{}]*\})*\}", re.DOTALL)  # with one more pair in it
_FILE = re.compile(r"\s*(?:cat\s+|<\s*)(\S+)\s*")
_DISCARDED = re.compile(
    r"&?>>?\s*(?:/dev/(?:null|stdout|stderr)\b|&[0-9-])"
)  # what is written there counts for nothing
_WITHOUT_EFFECT = re.compile(r"\s*(?:true|:|exit\s+\d+|echo\s+(?:\w+|'[^']*'|\"[^\"$`]*\"))(?=\s*(?:$|[;&\n]))")
_LIMIT = 20_000
# `cat > FILE << EOF` or `cat << EOF > FILE`, with its text; and lines of `echo` in braces, all into one file.
_HEREDOC = re.compile(
    r"^(?P<lead>[ \t]*)cat[ \t]*(?:>[ \t]*(?P<first>[^\s>&]+)[ \t]*)?<<(?P<dash>-?)[ \t]*(?P<quote>['\"]?)(?P<mark>\w+)"
    r"(?P=quote)[ \t]*(?:>[ \t]*(?P<last>[^\s>&]+))?[ \t]*\n(?P<text>.*?)^\t*(?P=mark)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_BRACED_ECHOES = re.compile(
    r"^[ \t]*\{[ \t]*\n(?P<lines>(?:[ \t]*echo[ \t][^\n]*\n)+)[ \t]*\}[ \t]*(?P<to>>>?[ \t]*[^\s>&]+)[ \t]*$",
    re.MULTILINE,
)

Read = Callable[[str], str | None]


class NotUnderstoodError(Exception):
    """A shell construct that testbay does not interpret."""


def commands(
    line: str,
    environment: Mapping[str, str],
    read: Read,
    handed: Sequence[str] = (),
    written: dict[str, str] | None = None,
) -> list[list[str]]:
    """Split a line into commands at `;`, `&&` and line feeds, and each into words, with variables and quotes resolved.

    Of `if` and of a test before `&&` the branch counts that runs.

    Args:
        line: What stands behind `sh -c`.
        environment: The container's variables.
        read: What a file of the container says, for `$(cat FILE)`; None when it is not known.
        handed: The words for `"$@"`.
        written: Is given the files that the line writes (`echo … > /FILE`, `cat > /FILE << …`), and their contents.

    Raises:
        NotUnderstoodError: There is more to it: a pipe, a redirection, a loop, another command's output.
    """
    if len(line) > _LIMIT:
        raise NotUnderstoodError("its line is too long")
    plain = _BRACED_ECHOES.sub(_each_echo, _HEREDOC.sub(_as_echo, line))
    return _Scanner(plain, dict(environment), read, handed, {} if written is None else written).commands()


def _as_echo(heredoc: re.Match[str]) -> str:
    """Write a text of several lines as one `echo`; only one that goes to a file."""
    to, text = heredoc["first"] or heredoc["last"], heredoc["text"].removesuffix("\n")
    if not to or (heredoc["first"] and heredoc["last"]):
        return heredoc[0]
    text = re.sub(r"(?m)^\t+", "", text) if heredoc["dash"] else text
    quote, escaped = ("'", "'\\''") if heredoc["quote"] else ('"', '\\"')
    return f"{heredoc['lead']}echo {quote}{text.replace(quote, escaped)}{quote} > {to}"


def _each_echo(braced: re.Match[str]) -> str:
    first, *more = braced["lines"].splitlines()
    file = braced["to"].lstrip(">")
    return "\n".join([f"{first} {braced['to']}", *(f"{line} >>{file}" for line in more)])


class _Scanner:
    """One pass over the line. `word` is None between words, so that an empty pair of quotes still makes one."""

    def __init__(
        self,
        line: str,
        environment: dict[str, str],
        read: Read,
        handed: Sequence[str] = (),
        written: dict[str, str] | None = None,
    ) -> None:
        self._line = line
        self._handed = handed
        self._at = 0
        self._environment = environment
        self._read = read
        self._commands: list[list[str]] = [[]]
        self._word: str | None = None
        self._written = written
        self._echoed = 0  # the words before `>`
        self._appends = False
        self._branches: list[tuple[bool, bool]] = []  # of each open `if`: whether this branch runs, and whether one did
        self._before_then = False
        self._has_failed = False  # a test before `&&`
        self._unseen = ""  # a command that may have set any variable

    def commands(self) -> list[list[str]]:
        while self._at < len(self._line):
            self._step(self._line[self._at])
        self._end_command()
        if self._branches:
            raise NotUnderstoodError("its shell line holds an open 'if'")
        return [command for command in self._commands if command]

    def _step(self, char: str) -> None:
        if char == "'":
            end = self._find("'", self._at + 1)
            self._add(self._line[self._at + 1 : end])
            self._at = end + 1
        elif self._line.startswith('"$@"', self._at) and self._word is None:
            self._commands[-1] += self._handed
            self._at += 4
        elif char == '"':
            self._double_quoted()
        elif char == "\\":
            escaped = self._line[self._at + 1 : self._at + 2]
            self._at += 2
            if escaped != "\n":
                self._add(escaped)
        elif char in "$`":
            self._split(self._expansion())
        else:
            self._plain(char)

    def _plain(self, char: str) -> None:
        if char == "#" and self._word is None:
            self._at = self._find("\n", self._at, otherwise=len(self._line))
        elif char == "\n" and self._word is None and not self._commands[-1]:
            self._at += 1  # behind `&&` the command still comes
        elif char in " \t":
            self._end_word()
            self._at += 1
        elif discarded := _DISCARDED.match(self._line, self._at):
            if (self._word or "").isdigit():
                self._word = None  # the number of a stream
            self._at = discarded.end()
        elif self._line.startswith("||", self._at):
            self._end_command()
            self._after_failure()
        elif char in ";\n" or self._line.startswith("&&", self._at):
            self._end_command(goes_on=char == "&")
            self._at += 2 if char == "&" else 1
        elif char == ">" and self._writes():
            self._end_word()
            self._echoed = len(self._commands[-1])
            self._appends = self._line.startswith(">>", self._at)
            self._at += 1 + self._appends
        elif char in "|&<>(){}":
            raise NotUnderstoodError(f"its shell line holds {char!r}")
        else:
            self._add(char)
            self._at += 1

    def _writes(self) -> bool:
        """Return whether the `>` or `>>` at this position is the only one of an `echo`."""
        is_echo = self._commands[-1][:1] == ["echo"] and not (self._word or "").isdigit()
        is_plain = re.compile(r">>?[^>|&]").match(self._line, self._at) is not None
        return self._written is not None and is_echo and is_plain and not self._echoed

    def _write(self, words: list[str], named: list[str]) -> None:
        is_plain = not any(word.startswith("-") or "\\" in word for word in words)
        if self._written is None or len(named) != 1 or not named[0].startswith("/") or not is_plain:
            raise NotUnderstoodError("its shell line holds '>'")
        before = self._written.get(named[0], self._read(named[0])) if self._appends else ""
        if before is None:
            raise NotUnderstoodError(f"its shell line adds to {named[0]}, which the image itself holds")
        self._written[named[0]] = f"{before}{' '.join(words)}\n"
        self._echoed = 0

    def _after_failure(self) -> None:
        """Go on behind `||`, where only a command that changes nothing may stand."""
        otherwise = _WITHOUT_EFFECT.match(self._line, self._at + 2)
        if otherwise is None:
            raise NotUnderstoodError("its shell line holds '||'")
        self._at = otherwise.end()

    def _double_quoted(self) -> None:
        self._add("")
        self._at += 1
        while True:
            char = self._line[self._at : self._at + 1]
            if char == "":
                raise NotUnderstoodError("a quotation is not closed")
            if char == '"':
                self._at += 1
                return
            if char == "\\" and self._line[self._at + 1 : self._at + 2] in tuple('"\\$`\n'):
                self._add(self._line[self._at + 1].replace("\n", ""))
                self._at += 2
            elif char in "$`":
                self._add(self._expansion())
            else:
                self._add(char)
                self._at += 1

    def _expansion(self) -> str:
        """Parse the expansion at this position, and return its value."""
        rest = self._line[self._at + 1 :]
        if self._line[self._at] == "`":
            end = self._find("`", self._at + 1)
            inner, self._at = self._line[self._at + 1 : end], end + 1
            return self._output(inner)
        if name := _NAME.match(rest):
            self._at += 1 + name.end()
            return self._value(name[0], None, None)
        if rest.startswith("("):
            end = self._find(")", self._at)
            inner, self._at = self._line[self._at + 2 : end], end + 1
            return self._output(inner)
        if rest.startswith("{"):
            whole = _BRACES.match(rest)
            self._at = self._at + 1 + whole.end() if whole else self._find("}", self._at) + 1
            if whole and (braced := _BRACED.fullmatch(whole[0])):
                return self._value(*braced.groups())
        if not rest[:1].strip('"'):
            self._at += 1
            return "$"
        raise NotUnderstoodError(f"its shell line holds ${rest[:1]}")

    def _value(self, name: str, operator: str | None, word: str | None) -> str:
        value = self._environment.get(name)
        if value is None and _SET_ELSEWHERE.fullmatch(name) and any(word in _TESTS for word in self._commands[-1]):
            raise NotUnderstoodError(f"its shell line tests {name}, which the image or the shell sets")
        present = bool(value) if (operator or "").startswith(":") else value is not None
        if (operator or "").endswith("+"):
            return self._other(word or "") if present else ""
        if present or not operator:
            return value or ""
        if operator.endswith("?"):
            raise NotUnderstoodError(f"it demands the variable {name}, which the service does not set")
        return self._other(word or "")

    def _other(self, word: str) -> str:
        """Return the word behind an operator, with its own variables resolved."""
        if "$" not in word:
            return word.strip("\"'")
        made = [part for command in _Scanner(word, self._environment, self._read).commands() for part in command]
        if any(part.split() != [part] for part in made):  # the caller would split it once more
            raise NotUnderstoodError("its shell line holds a variable with blanks in the words of another")
        return " ".join(made)

    def _output(self, command: str) -> str:
        """Return the output of `cat FILE`, if the compose file determines that file."""
        match = _FILE.fullmatch(command)
        named = _Scanner(match[1], self._environment, self._read).commands() if match else []
        said = self._read(named[0][0]) if named else None
        if said is None:
            raise NotUnderstoodError(f"its shell line holds the output of `{command.strip()[:40]}`")
        return said.rstrip("\n")

    def _split(self, value: str) -> None:
        """Split the value of an unquoted expansion into words at white space."""
        first, *more = value.split() or [""]
        if value[:1].isspace():
            self._end_word()
        if value:
            self._add(first)
        for word in more:
            self._end_word()
            self._add(word)
        if more and value[-1:].isspace():
            self._end_word()

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is not None:
            self._commands[-1].append(self._word)
        self._word = None

    def _end_command(self, *, goes_on: bool = False) -> None:
        """End a command; `goes_on` if `&&` follows."""
        self._end_word()
        command = self._branch(self._commands[-1])
        if self._has_failed or not all(runs for runs, _ in self._branches):
            command, self._echoed = [], 0
        if command and command[0] in _TESTS:
            self._has_failed = not self._holds(command)
            command = []
        self._has_failed = self._has_failed and goes_on
        if self._echoed:
            self._write(command[1 : self._echoed], command[self._echoed :])
        if command and (command[0] in _KEYWORDS or (command[0] == "exit" and self._branches)):
            raise NotUnderstoodError(f"its shell line holds {command[0]!r}")
        self._commands[-1] = self._assign(command)
        self._commands.append([])

    def _assign(self, command: list[str]) -> list[str]:
        """Set the variables and words that a command sets; return what is left of it to run."""
        if command[:2] == ["set", "--"]:
            self._handed = command[2:]
        if command[:1] == ["unset"]:
            self._environment = {name: value for name, value in self._environment.items() if name not in command}
        if command and command[0] in _SETS_UNSEEN:
            self._unseen = command[0]
        rest = command[1:] if command[:1] == ["export"] else command
        found: dict[str, str] = {}
        while rest and (match := _ASSIGNMENT.fullmatch(rest[0])):
            found[match[1]] = match[2]
            rest = rest[1:]
        if not rest or command[0] == "export":  # before a program they are that program's alone
            self._environment |= found
        return rest

    def _holds(self, test: list[str]) -> bool:
        if self._unseen:
            raise NotUnderstoodError(f"its shell line holds a test behind {self._unseen!r}, which may set variables")
        return _holds(test)

    def _branch(self, command: list[str]) -> list[str]:
        """Follow the keywords of `if` that a command begins with; return what is left of it."""
        while command and command[0] in ("if", "then", "elif", "else", "fi"):
            keyword, *rest = command
            if self._before_then != (keyword == "then") or not (self._branches or keyword == "if"):
                break
            if keyword == "if":
                self._branches.append((False, False))
            _, did = self._branches[-1]
            if keyword in ("if", "elif"):
                self._before_then, runs = True, not did and self._holds(rest)
                self._branches[-1], rest = (runs, did or runs), []
            elif keyword == "else":
                self._branches[-1] = (not did, True)
            elif keyword == "fi":
                self._branches.pop()
            else:
                self._before_then = False
            command = rest
        if command and (self._before_then or command[0] in ("if", "then", "elif", "else", "fi")):
            raise NotUnderstoodError(f"its shell line holds {command[0]!r}")
        return command

    def _find(self, mark: str, start: int, *, otherwise: int = -1) -> int:
        found = self._line.find(mark, start)
        if found < 0 and otherwise < 0:
            raise NotUnderstoodError(f"{mark} is missing")
        return found if found >= 0 else otherwise


def _holds(test: list[str]) -> bool:
    """Return whether a test of texts holds: `[ -n "$X" ]`, `[ "$X" = yes ]`.

    Raises:
        NotUnderstoodError: It is another one, such as one of a file.
    """
    brackets, *words = test or [""]
    end = len(words) - len(_TESTS.get(brackets, []))
    words, closed = words[:end], words[end:]
    negated = words[:1] == ["!"]
    held: bool | None
    match words[negated:]:
        case _ if closed != _TESTS.get(brackets):
            held = None
        case ["-n" | "-z" as kind, text]:
            held = bool(text) == (kind == "-n")
        case [one, "=" | "==" | "!=" as kind, other] if brackets != "[[" or not re.search(r"[*?\[]", other):
            held = (one == other) == (kind != "!=")
        case _:
            held = None
    if held is None:
        raise NotUnderstoodError(f"its shell line holds the test `{' '.join(test)[:40]}`")
    return held != negated
