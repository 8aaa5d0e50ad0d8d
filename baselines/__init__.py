"""The compared methods, one file each, with the same contract as `mila.model`."""
