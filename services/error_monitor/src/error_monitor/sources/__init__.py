"""The sources of lines: a cursor in, lines out. One room per source, one row in the table."""
