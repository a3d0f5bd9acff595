"""Measurements of satgan beside what a user would write otherwise; run from the root with `python -m bench.step`."""
