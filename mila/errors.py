"""The exceptions that callers tell apart. Needs no PyTorch."""


class UserError(Exception):
    """Bad input: one clear sentence that says what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """


class DivergedError(UserError):
    """A loss or a prediction is not a finite number any more."""


class StoppedError(Exception):
    """A training was asked to stop, and has saved its checkpoint."""


class LostRankError(Exception):
    """Another process of the training has ended, or does not answer any more."""


def first_line(error: BaseException) -> str:
    """The first line of an error that says anything, or else its kind."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
