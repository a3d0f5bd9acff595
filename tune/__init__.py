"""Sweeps with Ray Tune: which learning rates, filter counts and regularizer constants pay, beside the seeds' noise."""
