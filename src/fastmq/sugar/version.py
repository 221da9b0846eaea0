# SPDX-License-Identifier: MIT
"""The versions that fastmq answers for, under the names of pyzmq; __version__ is pyzmq's."""

from .._version import (
    __revision__,
    pyzmq_version,
    pyzmq_version_info,
    zmq_version,
    zmq_version_info,
)

__version__ = pyzmq_version()
VERSION_MAJOR, VERSION_MINOR, VERSION_PATCH = version_info = pyzmq_version_info()
VERSION_EXTRA = ""

__all__ = [
    "VERSION_EXTRA",
    "VERSION_MAJOR",
    "VERSION_MINOR",
    "VERSION_PATCH",
    "__revision__",
    "__version__",
    "pyzmq_version",
    "pyzmq_version_info",
    "version_info",
    "zmq_version",
    "zmq_version_info",
]
