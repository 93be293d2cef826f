"""A device that is not there: its tensors compute on the CPU, and refuse to meet tensors of the CPU, as a GPU's do.

It goes by the name of PyTorch's "meta" device, whose tensors hold no numbers; here they do. A program that runs on it,
and finds the same numbers as on the CPU, has left no tensor behind on the CPU.
"""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
COPIES = {"aten::_to_copy", "aten::copy_"}


class Far(torch.Tensor):
    """A tensor of the stand-in device; `near` is where its numbers are."""

    @staticmethod
    def __new__(cls, near):
        far = torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype,
            device=DEVICE, requires_grad=near.requires_grad,
        )  # fmt: skip
        far.near = near
        return far

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


@contextmanager
def stand_in():
    """While it is on, tensors can be made on the stand-in device and copied to and from it."""
    with Literals(), Computations():
        yield DEVICE


class Literals(TorchFunctionMode):
    """Numbers from lists and arrays go the long way round: to the CPU first."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func not in (torch.tensor, torch.as_tensor) or "device" not in kwargs:
            return func(*args, **kwargs)
        device = kwargs.pop("device")
        return func(*args, **kwargs).to(device)


class Computations(TorchDispatchMode):
    """Every operation."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    flat = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    name, far = func._schema.name, any(isinstance(x, Far) for x in flat)
    if far and name not in COPIES and any(not isinstance(x, Far) and x.ndim for x in flat):
        raise RuntimeError(f"{name} got tensors of two devices")
    place = kwargs.pop("device", None)
    there = far if place is None else torch.device(place).type == DEVICE
    out = func(*tree_map(near, args), **({"device": "cpu"} if place is not None else {}), **tree_map(near, kwargs))
    if func._schema.is_mutable and "out" not in kwargs:
        return args[0] if func._schema.returns else None  # changed in place
    return tree_map(lambda x: Far(x) if there and isinstance(x, torch.Tensor) else x, out)


def near(x):
    return x.near if isinstance(x, Far) else x
