"""A recorder for the CPU that does what CUDA graphs do: it notes each operation with the very memory it read and wrote,
and a replay does them again, whatever Python would choose by then."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Result = TypeVar("Result")
HOST_READS = ("aten::_local_scalar_dense", "aten::item", "aten::nonzero")


class _Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Does every operation and notes it; remembers what memory that was there before held."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self._own: set[int] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        if operation.name() in HOST_READS:
            raise RuntimeError(f"{operation.name()}: a graph cannot wait for the host")
        named = named or {}
        for tensor in _tensors((given, named)):
            self._keep(tensor)
        result = operation(*given, **named)
        self.operations.append((operation, given, named, result))
        self._own |= {tensor.untyped_storage().data_ptr() for tensor in _tensors(result)} - set(self.before)
        return result

    def _keep(self, tensor: Tensor) -> None:
        place = tensor.untyped_storage().data_ptr()
        if place not in self._own and place not in self.before:
            whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
            self.before[place] = (whole, whole.clone())


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


class CpuRecorder:
    """`refuse`: the number of recordings that succeed before one fails."""

    def __init__(self, refuse: int = 10**9) -> None:
        self._left = refuse
        self.recorded = self.replayed = 0

    def warm_up(self, work: Callable[[], object]) -> None:
        """Does the work."""
        work()

    def record(self, works: Sequence[Callable[[], Result]]) -> list[Callable[[], Result]]:
        """What does each work again; nothing has changed when this returns."""
        return [self._recorded(work) for work in works]

    def _recorded(self, work: Callable[[], Result]) -> Callable[[], Result]:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("no more recordings\nas the test wants it")
        with _Noting() as noted:
            result = work()
        with torch.no_grad():
            for whole, before in noted.before.values():
                whole.copy_(before)
        self.recorded += 1

        def replay() -> Result:
            self.replayed += 1
            with torch.no_grad():
                for operation, given, named, made in noted.operations:
                    _again(operation, given, named, made)
            return result

        return replay


def _again(operation: Any, given: Any, named: Any, made: Any) -> None:
    """The operation on the same memory; what it makes goes where it went when it was noted."""
    result = operation(*given, **named)
    for old, new in zip(_tensors(made), _tensors(result), strict=True):
        if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
            old.detach().copy_(new)
