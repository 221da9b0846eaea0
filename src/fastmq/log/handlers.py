# SPDX-License-Identifier: MIT
"""A logging handler that publishes records, their level as topic.

handler = PUBHandler("tcp://127.0.0.1:12345")
handler.root_topic = "shop"
logging.getLogger().addHandler(handler)
logging.warning("low::five left")     # the message [b"shop.WARNING.low", b"... five left\n"]
"""

from __future__ import annotations

import logging
from copy import copy
from typing import Any

from ..constants import PUB
from ..context import Context
from ..error import Again
from ..socket import Socket

_CLOSE_MS = 1000

TOPIC_DELIM = "::"
"""Separates a topic at the beginning of a log message from the rest."""

_PLACE = "%(levelname)s %(filename)s:%(lineno)d - %(message)s"
_FORMATS = {
    logging.DEBUG: _PLACE + "\n",
    logging.INFO: "%(message)s\n",
    logging.WARNING: _PLACE + "\n",
    logging.ERROR: _PLACE + " - %(exc_info)s\n",
    logging.CRITICAL: _PLACE + "\n",
}


class PUBHandler(logging.Handler):
    """Publishes each record as two parts: a topic and the formatted text, in UTF-8.

    The topic is root_topic, the name of the level, and the text of the message before TOPIC_DELIM,
    joined by dots; empty ones are left out.

    interface_or_socket: an endpoint, to which the handler binds its own PUB, or a socket that is
    already bound or connected. context: for its own socket; a new one by default. Closing the
    handler closes only what it has created itself.
    """

    ctx: Context[Any]
    socket: Socket

    def __init__(
        self,
        interface_or_socket: str | Socket,
        context: Context[Any] | None = None,
        root_topic: str = "",
    ) -> None:
        super().__init__()
        self.root_topic = root_topic
        self.formatters = {level: logging.Formatter(fmt) for level, fmt in _FORMATS.items()}
        self._own_socket = not isinstance(interface_or_socket, Socket)
        self._own_context = self._own_socket and context is None
        if isinstance(interface_or_socket, Socket):
            self.socket = interface_or_socket
            self.ctx = self.socket.context
        else:
            self.ctx = Context() if context is None else context
            self.socket = self.ctx.socket(PUB)
            try:
                self.socket.bind(interface_or_socket)
            except BaseException:
                self.socket.close(0)
                if self._own_context:
                    self.ctx.term()
                raise

    @property
    def root_topic(self) -> str:
        """The beginning of every topic; "" for none."""
        return self._root_topic

    @root_topic.setter
    def root_topic(self, root_topic: str | bytes) -> None:
        self.setRootTopic(root_topic)

    def setRootTopic(self, root_topic: str | bytes) -> None:  # noqa: N802
        """Sets root_topic."""
        if isinstance(root_topic, bytes):
            root_topic = root_topic.decode("utf-8")
        self._root_topic = root_topic

    def setFormatter(  # noqa: N802
        self, fmt: logging.Formatter | None, level: int = logging.NOTSET
    ) -> None:
        """Sets how records of one level are formatted, or those of every level: NOTSET."""
        if fmt is None:
            fmt = logging.Formatter("%(message)s\n")
        if level == logging.NOTSET:
            self.formatters = dict.fromkeys(self.formatters, fmt)
        else:
            self.formatters[level] = fmt

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, by the formatter of its level."""
        formatter = self.formatters.get(record.levelno)
        if formatter is None:  # a level of the program's own: as the next standard one below
            below = [level for level in self.formatters if level <= record.levelno]
            formatter = self.formatters[max(below) if below else min(self.formatters)]
        return formatter.format(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Publishes a record."""
        try:
            topics = [self.root_topic, record.levelname]
            if isinstance(record.msg, str) and TOPIC_DELIM in record.msg:
                subtopic, _, text = record.msg.partition(TOPIC_DELIM)
                topics.append(subtopic)
                record = copy(record)  # other handlers get the original
                record.msg = text
            topic = ".".join(part for part in topics if part)
            data = self.format(record).encode("utf-8", "backslashreplace")
            self.socket.send_multipart([topic.encode("utf-8"), data])
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Closes the handler, and what it has created itself. Queued messages are sent for at most
        1 s, or LINGER if that is shorter."""
        super().close()
        if self._own_socket:
            self.socket.close()
        if self._own_context:
            try:
                self.ctx.term(timeout=_CLOSE_MS)
            except Again:
                self.ctx.destroy(linger=0)


def _joined(topic: str, msg: object) -> str:
    return f"{topic}{TOPIC_DELIM}{msg}"


def _from_caller(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keywords of a call of logging that TopicLogger hands on: one frame more is not the place."""
    return {**kwargs, "stacklevel": kwargs.get("stacklevel", 1) + 1}


class TopicLogger(logging.Logger):
    """A logger whose methods take a topic before the message:

    logger.info("database", "%d rows", 5)    logger.log(logging.INFO, "database", "%d rows", 5)

    PUBHandler makes that topic part of the message's own; other handlers show it as
    "database::5 rows".
    """

    def log(  # type: ignore[override]
        self, level: int, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Logs msg % args with a topic."""
        super().log(level, _joined(topic, msg), *args, **_from_caller(kwargs))

    def debug(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Logs a DEBUG message with a topic."""
        super().debug(_joined(topic, msg), *args, **_from_caller(kwargs))

    def info(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Logs an INFO message with a topic."""
        super().info(_joined(topic, msg), *args, **_from_caller(kwargs))

    def warning(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Logs a WARNING message with a topic."""
        super().warning(_joined(topic, msg), *args, **_from_caller(kwargs))

    def warn(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Old name of warning."""
        super().warning(_joined(topic, msg), *args, **_from_caller(kwargs))

    def error(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Logs an ERROR message with a topic."""
        super().error(_joined(topic, msg), *args, **_from_caller(kwargs))

    def exception(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, exc_info: Any = True, **kwargs: Any
    ) -> None:
        """Logs an ERROR message with a topic and the exception being handled."""
        super().error(_joined(topic, msg), *args, exc_info=exc_info, **_from_caller(kwargs))

    def critical(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Logs a CRITICAL message with a topic."""
        super().critical(_joined(topic, msg), *args, **_from_caller(kwargs))

    def fatal(  # type: ignore[override]
        self, topic: str, msg: object, *args: Any, **kwargs: Any
    ) -> None:
        """Old name of critical."""
        super().critical(_joined(topic, msg), *args, **_from_caller(kwargs))


__all__ = ["TOPIC_DELIM", "PUBHandler", "TopicLogger"]
