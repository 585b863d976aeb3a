"""Splitting a command line as Compose does: into a shell's words, without a shell."""

_SPACE = " \t\r\n"
_ENDS = ";&|<>"


class BadCommandLineError(ValueError):
    """A quote or parenthesis is not closed."""


class _Splitter:
    """One pass over a line."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._word = ""
        self._begun = False
        self._escaped = False
        self._inside = ""  # the quotation that is open: ' " ` or $ for $(

    def feed(self, char: str) -> bool:
        """Take a character; False where the command ends."""
        if self._escaped:
            self._escaped = False
            self._add(char)
        elif char == "\\" and self._inside != "'":
            self._escaped = True
        elif char in _SPACE and not self._inside:
            self._close()
        elif char in _ENDS and not self._inside:
            return self._end(char)
        elif char in "'\"`()" and self._quotes(char):
            pass
        else:
            self._add(char)
        return True

    def _add(self, char: str) -> None:
        self._word += char
        self._begun = True

    def _close(self) -> None:
        if self._begun:
            self.words.append(self._word)
        self._word, self._begun = "", False

    def _end(self, char: str) -> bool:
        if char == ">" and self._word[:1].isdigit():
            self._begun = False  # the number of a stream is not an argument
        return False

    def _quotes(self, char: str) -> bool:
        """Open or close a quotation; False when the character is only a character here."""
        if char in "'\"":
            if self._inside not in ("", char):
                return False
            self._inside = "" if self._inside else char
            self._begun = True
            return True
        if char == "`" and self._inside in ("", "`"):
            self._inside = "" if self._inside else "`"
        elif char == "(" and not self._inside:
            if not self._word.endswith("$"):
                raise BadCommandLineError
            self._inside = "$"
        elif char == ")" and self._inside in ("", "$"):
            self._inside = "" if self._inside else "$"
        return False

    def finish(self) -> list[str]:
        if self._escaped or self._inside:
            raise BadCommandLineError
        self._close()
        return self.words


def split_words(line: str) -> list[str]:
    """Split a command that is written as one text.

    Compose knows quotes and backslashes, and stops without a word at `;`, `&`, `|`, `<` and `>`.

    Raises:
        BadCommandLineError: A quotation is not closed.
    """
    splitter = _Splitter()
    for char in line:
        if not splitter.feed(char):
            break
    return splitter.finish()
