"""The checks of ``tools/check_configs.py``: pure functions that return problems as strings."""
