"""Logits that are computed later, for some positions at a time.

A model's output layer gets no positions at all, and what the model does with its output (a bias, a scale, a soft cap,
a conversion) is noted and repeated on the logits of each chunk of positions. So no code of an architecture is known
here, and the logits of all positions are never there at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from torch import Tensor, nn

Project = Callable[[Tensor], Tensor]
"""Logits [n, vocabulary] of hidden states [n, hidden]."""


class ValuesNeeded(Exception):  # noqa: N818 -- nothing went wrong: the model is of another kind
    """A model does with its logits what can't be noted, so that they have to be computed at once."""


class DeferredLogits:
    """Stand-in for logits [1, positions, vocabulary] that notes the operations applied to it.

    `value` are the logits of no positions, [1, 0, vocabulary]: shape, dtype and device are theirs.
    """

    def __init__(self, value: Tensor, compute: Project) -> None:
        self.value, self.compute = value, compute

    @classmethod
    def __torch_function__(cls, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Apply `func` to the value, and note it for the logits to come."""
        return _noted(func, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        """Attributes of the value; its methods are noted."""
        found = getattr(self.value, name)
        if not callable(found):
            return found
        method = getattr(Tensor, name)
        return lambda *args, **kwargs: _noted(method, (self, *args), kwargs)

    def __bool__(self) -> NoReturn:
        """Raise `ValuesNeeded`, as all that looks at values."""
        raise ValuesNeeded

    __iter__ = __len__ = __float__ = __int__ = __bool__


def _noted(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    given = [*args, *kwargs.values()]
    is_in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
    if is_in_place or any(isinstance(one, (list, tuple)) and _has_deferred(one) for one in given):
        raise ValuesNeeded(func)
    try:
        value = func(*(_now(one) for one in args), **{name: _now(one) for name, one in kwargs.items()})
    except (RuntimeError, IndexError) as error:  # as the highest of no values
        raise ValuesNeeded(func) from error
    if not isinstance(value, Tensor):
        return value

    def compute(hidden: Tensor) -> Tensor:
        later = [_at(one, hidden) for one in args]
        return func(*later, **{name: _at(one, hidden) for name, one in kwargs.items()})  # type: ignore[no-any-return]  # a function of torch

    return DeferredLogits(value, compute)


def _has_deferred(given: Sequence[Any]) -> bool:
    return any(isinstance(one, DeferredLogits) for one in given)


def _now(argument: Any) -> Any:
    return argument.value if isinstance(argument, DeferredLogits) else argument


def _at(argument: Any, hidden: Tensor) -> Any:
    return argument.compute(hidden) if isinstance(argument, DeferredLogits) else argument


def _operator(name: str) -> Callable[..., Any]:
    method = getattr(Tensor, name)
    return lambda self, *args: _noted(method, (self, *args), {})


for _name in (
    "getitem",
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "neg",
):
    setattr(DeferredLogits, f"__{_name}__", _operator(f"__{_name}__"))


class Deferral:
    """Hooks on an output layer: it gets no positions, its input is kept, and what it gives is deferred."""

    def __init__(self, layer: nn.Module, pick: Callable[[object], Tensor | None]) -> None:
        """Take the layer, and what picks positions [n, hidden] of its input; None where it can't."""
        self._pick, self._rest = pick, list[Any]()
        self._is_called = self._is_done = False
        self.hidden: Tensor | None = None
        """Input of the layer at these positions, [n, hidden]; None where there is none."""
        self._handles = [layer.register_forward_pre_hook(self._keep), layer.register_forward_hook(self._defer)]

    def end(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _keep(self, _layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._is_called or not given:
            return None
        self._is_called, self.hidden = True, self._pick(given[0])
        self._rest.extend(given[1:])
        return None if self.hidden is None else (self.hidden[None, :0], *self._rest)

    def _defer(self, layer: nn.Module, _given: tuple[Any, ...], value: Any) -> DeferredLogits | None:
        if self._is_done or self.hidden is None:
            return None
        self._is_done = True
        return DeferredLogits(value, lambda hidden: layer(hidden[None], *self._rest))
