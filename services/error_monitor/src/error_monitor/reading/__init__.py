"""From raw log lines to error events: what wraps a line, which lines belong together, what a traceback says.

`reader.Reader` is the way in: `Reader().feed(lines)` gives the events that ended (lines are str or bytes, with or
without their newline), `flush()` ends what is open, and `state()` is JSON that holds an open event until the next
scan: `Reader.restore(state)`.
"""
