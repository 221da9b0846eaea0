# SPDX-License-Identifier: MIT
"""fastmq for gevent: `import fastmq.green as zmq`. Waiting calls let other greenlets run."""

from fastmq import *  # noqa: F403
from fastmq import __all__ as __all__

# They are in the line above, but mypy does not see them there: it does not follow `__all__ +=`.
from fastmq.constants import *  # noqa: F403  # pyright: ignore[reportGeneralTypeIssues]

from .core import Context as Context  # type: ignore[assignment]
from .core import Poller as Poller
from .core import Socket as Socket
from .core import proxy as proxy
from .core import zmq_poll as zmq_poll
from .device import device as device  # type: ignore[assignment]
