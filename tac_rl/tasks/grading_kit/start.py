"""Runs `grade.py` as an imported module, whose compiled form needs no compiling."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
sys.dont_write_bytecode = True

import grade  # noqa: E402

grade.main()
