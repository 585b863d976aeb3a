"""testbay's parts inside pytest, one module for each task of a session; `pytest_plugin.py` registers them."""
