"""Names of what travels beside Keras Tuner's own messages."""

from __future__ import annotations

WORKER = "kt-ext-worker"
SESSION = "kt-ext-session"
#: Of the trial that a call is about, or, in the trailing metadata of a CreateTrial, of the trial that it gave.
ATTEMPT = "kt-ext-attempt"
#: The end of a failed trial's traceback, UTF-8.
MESSAGE = "kt-ext-message-bin"
#: Metadata may have 8 KiB in all.
MESSAGE_BYTES = 4000
#: How long a worker id that is taken stays so if its holder is dead.
LEASE_SECONDS = "kt-ext-lease-seconds"
AUTHORIZATION = "authorization"

#: The one method beside Keras Tuner's: JSON bytes in and out.
SERVICE, METHOD = "kt_ext.Chief", "Call"
