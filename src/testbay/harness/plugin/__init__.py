"""What testbay does inside pytest, one part of a session's work in each module; `pytest_plugin.py` joins them."""
