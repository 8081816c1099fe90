class EmbeddedError(Exception):
    """An embedded server cannot run; the message is one sentence saying what to do."""
