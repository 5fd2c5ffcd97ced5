"""Why a file could not be read, in words that fit into one sentence."""

_LETTERS = 160


def reason(error: Exception) -> str:
    """The message of an error that a reader raised, on one line and cut short; its kind if it has none.

    A damaged file can raise anything, and messages may quote the file at any length.
    """
    return " ".join(str(error).split())[:_LETTERS] or type(error).__name__
