"""Encrypted tasks that this worker cannot decrypt: they become dead letters, and can be sent back when it has the key.

Celery itself would ack or delete them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kombu.exceptions import ContentDisallowed

from ..encryption import CONTENT_TYPE, SERIALIZER
from ..errors import EncryptionError
from .celery_patches import ended_tasks

if TYPE_CHECKING:
    from .message import Message

logger = logging.getLogger(__name__)

_REDRIVE = "Then send the dead letters back: pgqueue redrive."


def refuse_unreadable(message: Message, accept: object) -> bool:
    """Make an encrypted task a dead letter, and its result a failure, if it cannot be decrypted; return whether it did.

    Args:
        accept: the content types that the consumer decodes.
    """
    if message.content_type != CONTENT_TYPE:
        return False
    try:
        message.accept = accept
        # The message keeps what was decoded for its consumer.
        _ = message.payload
    except Exception as failure:  # noqa: BLE001 - the text was written by anybody, and an error would end the worker
        error = _explain(failure)
        message.refusal = f"it cannot be decrypted: {error}"
        logger.error(
            "message %s, task %s, is a dead letter: %s. %s %s",
            message.delivery_tag,
            message.headers.get("task"),
            message.refusal,
            error.hint or "",
            _REDRIVE,
        )
        ended_tasks.fail_task(message, error)
        message.reject()
        return True
    return False


def _explain(failure: BaseException) -> EncryptionError:
    if isinstance(failure, ContentDisallowed):
        return EncryptionError(
            "the application of this worker does not accept encrypted messages",
            hint=f'Add "{SERIALIZER}" to accept_content.',
        )
    cause: BaseException | None = failure
    while cause is not None and not isinstance(cause, EncryptionError):
        cause = cause.__cause__ or cause.__context__
    return cause or EncryptionError(f"it is damaged ({type(failure).__name__})")
