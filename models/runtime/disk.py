"""How a full disk is told from other failures."""

import errno
import sqlite3


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, says that no space is left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
