"""The parts of testbay inside pytest, a module for each part of a session's work; `pytest_plugin.py` joins them."""
