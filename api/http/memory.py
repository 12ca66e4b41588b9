"""How the memory of a process goes back to the system."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 128 * 1024
_KEPT = 32 * 1024 * 1024


def give_back_large_blocks() -> None:
    """Let glibc give each large block back to the system as soon as it is free; other C libraries do so anyway.

    By default glibc takes larger and larger blocks from its heap, which long answers that many clients read slowly
    leave full of holes: the process would keep three times their memory for ever.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        # the threshold above would stop the heap from keeping its free end, which would cost each request
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
