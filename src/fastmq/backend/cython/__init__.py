# SPDX-License-Identifier: MIT
"""pyzmq's path to the compiled module; see fastmq.backend."""

from .. import *  # noqa: F403
from .. import __all__ as __all__
from . import _zmq as _zmq
