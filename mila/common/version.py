"""The suite's version, and the only place that says it: the package, records and CITATION.cff follow.

A file of its own, which nothing imports by name: a new number is no new code, and finished stages stay finished.
"""

__version__ = "0.2.0"
