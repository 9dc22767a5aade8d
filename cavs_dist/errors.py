"""The exceptions that a user is meant to read."""


class InputError(ValueError):
    """Something from outside is wrong: the message says what was found, what was expected, and what to do.

    The command line prints it as one sentence and exits with code 2; anything else that escapes is a bug of ours.
    """


class Interrupted(Exception):
    """The run was asked to stop and has kept what it could: the same command goes on.

    The command line prints it as one sentence and exits with code 75.
    """
