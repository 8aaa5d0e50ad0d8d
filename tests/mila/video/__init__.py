"""Tests of `mila.video`."""
