"""The steps of the set-up, in the standard library of Python 3.10 and newer; started by ``.dev_scripts/setup_env.py``."""
