"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Bad input: one clear sentence that says what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """
