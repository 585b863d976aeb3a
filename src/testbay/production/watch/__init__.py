"""`testbay watch`: runs the manifest's checks around the clock, keeps their history, notifies people, serves a page."""
