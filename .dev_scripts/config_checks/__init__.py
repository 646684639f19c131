"""The checks of ``.dev_scripts/check_configs.py``: pure functions that return problems as strings."""
