"""The words, letters and numbers by which loggers name a level, in the languages and short forms that they use."""

import re

NAMES = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "success": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "err": "error",
    "exception": "error",
    "severe": "error",
    "critical": "critical",
    "crit": "critical",
    "fatal": "critical",
    "emerg": "critical",
    "emergency": "critical",
    "alert": "critical",
    "panic": "critical",
    "trc": "debug",
    "dbg": "debug",
    "inf": "info",
    "wrn": "warning",
    "ftl": "critical",
    "dpanic": "critical",
}
"""What names a level wherever it stands in capitals."""
FIELDED = {
    "debug": "verbose verb fine finer finest debu dbug trac trce",
    "info": "information informational infos display informação información информация 信息 情報 정보",
    "warning": "warni wrng warnung avertissement advertencia aviso avviso предупреждение 警告 경고",
    "error": "erro eror sever fail failure fehler erreur errore fout ошибка schwerwiegend grave 错误 エラー 오류 严重",
    "critical": "crt fat fata fatl fault emer pani fatale kritisch critique crítico",
}
"""What names a level only in a field of its own: behind a time, before one, or in brackets."""
JAVA = "schwerwiegend warnung grave avertissement advertencia avviso infos fehler erreur errore"
"""How Java's own logger begins a line in other languages."""
KNOWN = {
    "fatal error": "critical",
    **{word: level for level, words in FIELDED.items() for word in words.split()},
    **NAMES,
}
LETTERS = {
    "T": "debug", "D": "debug", "V": "debug", "I": "info", "N": "info", "A": "info", "W": "warning", "E": "error",
    "F": "critical", "C": "critical", "P": "critical", "X": "debug", "EE": "error", "WW": "warning", "II": "info",
}  # fmt: skip
SYSLOG = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
"""A level by its number in syslog, which network devices print too."""
OFFSET = re.compile(r"[+-]\d+$")


def level_named(word: object) -> str | None:
    """The level that a word or a number (bunyan, pino) means; Go's slog writes `ERROR+2`."""
    if isinstance(word, bool):
        return None
    if isinstance(word, int | float):
        if not 0 < word < 100:  # the status of an HTTP answer, say
            return None
        return "debug" if word < 30 else ("info", "warning", "error", "critical")[min(int(word) // 10, 6) - 3]
    return NAMES.get(OFFSET.sub("", word.strip().lower())) if isinstance(word, str) else None


def level_of(mark: str) -> str | None:
    """The level that a field of a header means: a word, a letter, or a number of syslog's."""
    if mark.isdigit():
        return SYSLOG[int(mark)] if len(mark) == 1 and mark in "01234567" else None
    return KNOWN.get(mark.lower()) or LETTERS.get(mark.upper())
