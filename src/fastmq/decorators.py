# SPDX-License-Identifier: MIT
"""Decorators that pass a context or a socket to a function and close it afterwards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .context import Context

_R = TypeVar("_R")


def _inject(args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None, value: Any) -> Any:
    """The call's arguments with value as keyword `name`, or as the last positional one."""
    if name is None:
        return (*args, value), kwargs
    if name in kwargs:
        raise TypeError(f"the decorator gives the argument {name!r}, and so does the caller")
    return args, {**kwargs, name: value}


def _pop_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str | None, tuple[Any, ...]]:
    """The name to inject under: keyword name=, or a leading str."""
    if "name" in kwargs:
        name = kwargs.pop("name")
        if not isinstance(name, str):
            raise TypeError(f"name must be str, not {type(name).__name__}")
        return name, args
    if args and isinstance(args[0], str):
        return args[0], args[1:]
    return None, args


def context(*args: Any, **kwargs: Any) -> Callable[[Callable[..., _R]], Callable[..., _R]]:
    """Passes a Context to the function, and destroys it when the function returns.

    The first argument or name= is the keyword under which it is passed (without it, it is the last
    positional argument); the others go to Context.
    """
    name, args = _pop_name(args, kwargs)

    def decorate(func: Callable[..., _R]) -> Callable[..., _R]:
        @functools.wraps(func)
        def wrapper(*call_args: Any, **call_kwargs: Any) -> _R:
            made: Context[Any]
            with Context(*args, **kwargs) as made:
                a, k = _inject(call_args, call_kwargs, name, made)
                return func(*a, **k)

        return wrapper

    return decorate


def socket(*args: Any, **kwargs: Any) -> Callable[[Callable[..., _R]], Callable[..., _R]]:
    """Passes a socket to the function, and closes it when the function returns.

    Arguments: optionally the keyword under which it is passed (or name=), then those of
    Context.socket. context_name= names the argument with the context ("context" by default);
    without such an argument any Context among the arguments is used, otherwise Context.instance().
    """
    context_name = kwargs.pop("context_name", "context")
    name, args = _pop_name(args, kwargs)

    def decorate(func: Callable[..., _R]) -> Callable[..., _R]:
        @functools.wraps(func)
        def wrapper(*call_args: Any, **call_kwargs: Any) -> _R:
            home: Any = call_kwargs.get(context_name)
            if not isinstance(home, Context):
                among = (arg for arg in call_args if isinstance(arg, Context))
                home = next(among, None) or Context.instance()
            with home.socket(*args, **kwargs) as made:
                a, k = _inject(call_args, call_kwargs, name, made)
                return func(*a, **k)

        return wrapper

    return decorate


__all__ = ["context", "socket"]
