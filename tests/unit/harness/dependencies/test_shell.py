import pytest

from testbay.harness.dependencies.shell import NotUnderstoodError, commands

VARIABLES = {"PW": "p@ss/w:rd#1", "PW_FILE": "/run/secrets/pw", "FLAGS": "--hz 5  --x", "EMPTY": ""}


def words(line: str) -> list[list[str]]:
    return commands(line, VARIABLES, {"/run/secrets/pw": "s3cret\n"}.get, ["-p", "54 32"])


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ('r --p "$PW"', [["r", "--p", "p@ss/w:rd#1"]]),
        ("r --p ${PW:?needed} --hz 4", [["r", "--p", "p@ss/w:rd#1", "--hz", "4"]]),
        ("a $FLAGS b", [["a", "--hz", "5", "--x", "b"]]),
        ("a \"$FLAGS\" '$PW' \\$PW", [["a", "--hz 5  --x", "$PW", "$PW"]]),
        ("set -e; mkdir -p /x && exec redis-server", [["set", "-e"], ["mkdir", "-p", "/x"], ["exec", "redis-server"]]),
        ('r --p "$(cat /run/secrets/pw)"', [["r", "--p", "s3cret"]]),
        ("r --p `cat /run/secrets/pw`", [["r", "--p", "s3cret"]]),
        ('r --p "$(cat "$PW_FILE")" $(cat $PW_FILE)', [["r", "--p", "s3cret", "s3cret"]]),
        ("A=1 r $A ${B:-two} ${EMPTY:-e} ${EMPTY-f} ${PW:+set}", [["r", "two", "e", "set"]]),
        ('r ${PW:+--p "$PW"} ${NONE:-${EMPTY:-x}} ${NONE:+$PW}', [["r", "--p", "p@ss/w:rd#1", "x"]]),
        ("export A=1\nr $A # said", [["r", "1"]]),
        ("r \\\n  --x", [["r", "--x"]]),
        ("chown x /y 2>/dev/null || true; r > /dev/null 2>&1", [["chown", "x", "/y"], ["r"]]),
        ("r &>/dev/null || exit 1 && s", [["r"], ["s"]]),
        ('exec r "$@" --x', [["exec", "r", "-p", "54 32", "--x"]]),
        ('if [ -n "$EMPTY" ]; then\n a\nelif test "$PW" = x; then b; else\n r $FLAGS\nfi', [["r", "--hz", "5", "--x"]]),
        ('if [ -z "$EMPTY" ]; then if [ "$PW" != x ]; then a; fi; b; else A=1; fi; r $A', [["a"], ["b"], ["r"]]),
        ('[ -n "$EMPTY" ] && A=1 && b; [[ ! -z $PW ]] && B=2; r $A $B', [["r", "2"]]),
        ('[ -n "$EMPTY" ] && # said\n\n  a\nr', [["r"]]),
        ('set -- r "$@"; "$@"', [["set", "--", "r", "-p", "54 32"], ["r", "-p", "54 32"]]),
        ('unset PW; A=1 a; [ -n "$PW$A" ] && b; r', [["unset", "PW"], ["a"], ["r"]]),
    ],
)  # fmt: skip
def test_a_shell_line_is_cut_into_commands(line: str, made: list[list[str]]) -> None:
    """As sh does, with the container's variables, and nothing is executed."""
    assert words(line) == made


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a | b", "its shell line holds '|'"),
        ("if true; then a; fi", "its shell line holds the test `true`"),
        ("if [ -f /a ]; then a; fi", "its shell line holds the test `[ -f /a ]`"),
        ("if [ -n a ] && [ -n b ]; then a; fi", "its shell line holds '['"),
        ("if [ -n a ]; then b", "its shell line holds an open 'if'"),
        ("[[ a == a* ]] && b", "its shell line holds the test `[[ a == a* ]]`"),
        ("[[ -n a && -n b ]] && c", "its shell line holds the test `[[ -n a`"),
        ('[ "$HOSTNAME" = a ] && b', "its shell line tests HOSTNAME, which the image or the shell sets"),
        ("if [ -z ${PGDATA:-} ]; then a; fi", "its shell line tests PGDATA, which the image or the shell sets"),
        (". /vars; [ -n a ] && b", "its shell line holds a test behind '.', which may set variables"),
        ("if [ -n a ]; then a; exit 0; fi; b", "its shell line holds 'exit'"),
        ("then a", "its shell line holds 'then'"),
        ("a $(date)", "its shell line holds the output of `date`"),
        ("a 'b", "' is missing"),
        ('a "b', "a quotation is not closed"),
        ("a ${NONE:?told}", "it demands the variable NONE, which the service does not set"),
        ('a ${PW:+$FLAGS "$FLAGS"}', "its shell line holds a variable with blanks in the words of another"),
        ("a $1", "its shell line holds $1"),
        ('shift; a "$@"', "its shell line holds 'shift'"),
        ("a ${PW%x}", "its shell line holds ${"),
        ("a > b", "its shell line holds '>'"),
        ("a 2> b", "its shell line holds '>'"),
        ("a || b", "its shell line holds '||'"),
        ("a || true | b", "its shell line holds '||'"),
        ("a" * 30_000, "its line is too long"),
    ],
)
def test_what_is_more_than_commands_is_not_guessed(line: str, why: str) -> None:
    """The caller says why it leaves the command out."""
    with pytest.raises(NotUnderstoodError) as refused:
        words(line)

    assert str(refused.value) == why
