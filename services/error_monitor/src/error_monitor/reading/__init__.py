"""The error events in raw log lines: wrappers are peeled off, lines joined to records, tracebacks parsed.

`reader.Reader` is the way in: `Reader().feed(lines)` gives the events that ended (lines are str or bytes, with or
without their newline), `flush()` ends what is open, and `state()` is JSON that holds an open event until the next
scan: `Reader.restore(state)`.
"""
