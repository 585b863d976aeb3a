"""`testbay watch`: the manifest's checks asked around the clock, kept, told and shown by one process."""
