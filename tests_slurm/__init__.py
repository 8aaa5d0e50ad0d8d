"""Tests against a real SLURM that they start themselves."""
