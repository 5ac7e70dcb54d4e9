"""The one exception that means: what the user asked for cannot be done, and here is the mend."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and the mend. The command prints it and exits with
    status 2.
    """
