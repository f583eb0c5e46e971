"""The errors that AutoLLM raises, as a tree: what is wrong with what the user gave, and what may pass by itself."""

from __future__ import annotations


class AutoLLMError(Exception):
    """Anything that AutoLLM itself reports; the message is a sentence for the user."""

    reason = "Error"


class InputError(AutoLLMError):
    """Something the user gave cannot work, however often it is tried: data, a model, a setting."""

    reason = "InvalidInput"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class DocumentError(InputError):
    """The run document or the usage is wrong."""

    reason = "InvalidDocument"


class TemporaryError(AutoLLMError):
    """The same call may succeed later."""

    reason = "Temporary"


class OutageError(TemporaryError):
    """A server that the work needs did not answer."""

    reason = "Outage"


class OutOfMemoryError(AutoLLMError):
    """The accelerator's memory does not suffice even for the smallest micro-batch."""

    reason = "OutOfMemory"


class IntegrityError(InputError):
    """Stored bytes are not those that their digest names."""

    reason = "DigestMismatch"


class Interrupted(AutoLLMError):
    """The work was asked to stop; what it had done is saved."""

    reason = "Interrupted"
