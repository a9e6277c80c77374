"""Everything edgekit raises on purpose.

EdgekitError
├── UsageError                 the request itself makes no sense (exit code 2)
├── SourceError                the model cannot be read or rebuilt
├── DataError                  calibration or evaluation data cannot be used
├── ConversionError            the model cannot be said in the target format or precision
├── VerificationError          the file was made, and does not do what the model does
├── OutputError                the result cannot be written where it was asked for
├── ClosedError                the model was closed, or belongs to the process before a fork
├── CrashError                 a child process died, hung, or used too much memory
└── MissingDependencyError     an optional package is not installed

Every message has one shape: ``subject: what is wrong; what to do``.
"""


class EdgekitError(Exception):
    """Base of every error a user can act on; the command line prints it as one line."""

    exit_code = 1


class UsageError(EdgekitError):
    """The request makes no sense, whatever the model: an unknown precision, a missing option."""

    exit_code = 2


class SourceError(EdgekitError):
    """The model cannot be read or rebuilt: missing, truncated, another version, unknown layer."""


class DataError(EdgekitError):
    """Calibration or evaluation data cannot be used: wrong shape, dtype, range, NaN, too few."""


class ConversionError(EdgekitError):
    """The model cannot be said in the target format or precision."""


class VerificationError(EdgekitError):
    """The file was made, but it does not load, or does not do what the original model does."""


class OutputError(EdgekitError):
    """The result cannot be written: it exists already, no permission, no space."""


class ClosedError(EdgekitError):
    """The model was closed, or was loaded before the process forked."""


class CrashError(EdgekitError):
    """A child process died by a signal, ran out of its time, or out of its memory."""


class MissingDependencyError(EdgekitError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""
