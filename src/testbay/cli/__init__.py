"""The command line: one file for each wing, and the options that they share."""
