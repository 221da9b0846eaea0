# SPDX-License-Identifier: MIT
"""Deciding who may connect: authenticators (ZAP, ZeroMQ RFC 27) and CURVE certificates.

An authenticator answers for all sockets of one context. Without configuration it lets in every
peer that shows no credentials and no peer that shows some. docs/security.md tells what each
mechanism protects from.
"""

from __future__ import annotations

from .base import CURVE_ALLOW_ANY, Authenticator
from .certs import create_certificates, load_certificate, load_certificates

__all__ = [
    "CURVE_ALLOW_ANY",
    "Authenticator",
    "create_certificates",
    "load_certificate",
    "load_certificates",
]
