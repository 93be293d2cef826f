"""Local linear operators: what A is, how it acts, and how it moves a cell in closed form.

A head turns the raw output of the hypernetwork into one operator per cell. The operator keeps A in the form
that makes its exponential cheap; every matrix exponential of the project is taken here.
With the affine lift the velocity is A z + b: the state (z, 1) under the operator [[A, b], [0, 0]].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Operator(Protocol):
    """One linear (or affine) operator for each of n cells."""

    def matrix(self) -> Tensor:
        """A, shape (n, D, D): rows are targets, columns are sources of influence."""
        ...

    def offset(self) -> Tensor:
        """The constant part b, shape (n, D); zero without the affine lift."""
        ...

    def apply(self, z: Tensor) -> Tensor:
        """Velocity A z + b of states (..., n, D)."""
        ...

    def flow(self, z: Tensor, dt: Tensor) -> Tensor:
        """Move states (n, D) for durations dt (..., n) with the operator frozen; shape (..., n, D)."""
        ...

    def barrier(self) -> Tensor:
        """Penalty that keeps the parametrisation away from where A is not defined; a scalar."""
        ...


@dataclass(frozen=True)
class EigenOperator:
    """A = P^-1 diag(values) P with real eigenvalues (the paper's head).

    Attributes
    ----------
    values : Tensor (n, D)
        Eigenvalues.
    basis : Tensor (n, D, D)
        P: it takes a state to the coordinates in which each eigenvalue acts alone.
    constant : Tensor (n, D) or None
        b of the affine lift.
    """

    values: Tensor
    basis: Tensor
    constant: Tensor | None = None

    def matrix(self) -> Tensor:
        """A, shape (n, D, D)."""
        return torch.linalg.solve(self.basis, self.values[:, :, None] * self.basis)

    def offset(self) -> Tensor:
        """Constant part b of the affine lift, shape (n, D)."""
        return torch.zeros_like(self.values) if self.constant is None else self.constant

    def apply(self, z: Tensor) -> Tensor:
        """Velocity A z + b of states (..., n, D)."""
        velocity = self._from_eigen(self.values * self._to_eigen(z))
        return velocity if self.constant is None else velocity + self.constant

    def flow(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) z: one exponential per eigenvalue and one solve, whatever the number of durations."""
        step = self.values * dt[..., None]
        moved = torch.exp(step) * self._to_eigen(z)
        if self.constant is not None:
            moved = moved + dt[..., None] * _phi1(step) * self._to_eigen(self.constant)
        return self._from_eigen(moved)

    def barrier(self) -> Tensor:
        """Mean of 1 / (|det P| + 1e-4): P must stay invertible."""
        return (1 / (torch.linalg.det(self.basis).abs() + 1e-4)).mean()

    def _to_eigen(self, z: Tensor) -> Tensor:
        return torch.einsum("nij,...nj->...ni", self.basis, z)

    def _from_eigen(self, y: Tensor) -> Tensor:
        # All durations are right-hand sides of the same n systems.
        columns = y.reshape(math.prod(y.shape[:-2]), *y.shape[-2:]).permute(1, 2, 0)
        return torch.linalg.solve(self.basis, columns).permute(2, 0, 1).reshape(y.shape)


@dataclass(frozen=True)
class DenseOperator:
    """A given entry by entry.

    Attributes
    ----------
    entries : Tensor (n, D, D)
        A itself.
    constant : Tensor (n, D) or None
        b of the affine lift.
    """

    entries: Tensor
    constant: Tensor | None = None

    def matrix(self) -> Tensor:
        """A, shape (n, D, D)."""
        return self.entries

    def offset(self) -> Tensor:
        """Constant part b of the affine lift, shape (n, D)."""
        return torch.zeros_like(self.entries[..., 0]) if self.constant is None else self.constant

    def apply(self, z: Tensor) -> Tensor:
        """Velocity A z + b of states (..., n, D)."""
        return torch.einsum("nij,...nj->...ni", self.entries, z) + self.offset()

    def flow(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) z, by the matrix exponential of the (lifted) operator."""
        if self.constant is None:
            return self._exponential(self.entries, z, dt)
        lifted = torch.cat([self.entries, self.constant[:, :, None]], dim=2)
        lifted = torch.cat([lifted, torch.zeros_like(lifted[:, :1])], dim=1)
        state = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
        return self._exponential(lifted, state, dt)[..., :-1]

    def barrier(self) -> Tensor:
        """Zero: every matrix is allowed."""
        return self.entries.new_zeros(())

    @staticmethod
    def _exponential(a: Tensor, z: Tensor, dt: Tensor) -> Tensor:
        return torch.einsum("...nij,nj->...ni", torch.linalg.matrix_exp(a * dt[..., None, None]), z)


def _phi1(x: Tensor) -> Tensor:
    """(exp(x) - 1) / x, with its limit and a finite gradient at 0."""
    small = x.abs() < 1e-4
    safe = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, 1 + x / 2 + x**2 / 6, torch.expm1(safe) / safe)


def _eigen(out: Tensor, dim: int) -> EigenOperator:
    values, rest = out[:, :dim], out[:, dim:]
    # P starts at the identity, so that it starts invertible.
    basis = torch.eye(dim, dtype=out.dtype, device=out.device) + rest[:, : dim * dim].view(-1, dim, dim)
    return EigenOperator(values, basis, _constant(rest[:, dim * dim :]))


def _dense(out: Tensor, dim: int) -> DenseOperator:
    return DenseOperator(out[:, : dim * dim].view(-1, dim, dim), _constant(out[:, dim * dim :]))


def _constant(rest: Tensor) -> Tensor | None:
    return rest if rest.shape[1] else None


HEADS = {
    "eigen": (lambda dim: dim + dim * dim, _eigen),
    "dense": (lambda dim: dim * dim, _dense),
}


def head_size(head: str, dim: int, affine: bool = False) -> int:
    """Number of outputs the hypernetwork needs for a head.

    Parameters
    ----------
    head : {"eigen", "dense"}
        How A is parametrised.
    dim : int
        Dimension D of the state.
    affine : bool
        With the affine lift (D more outputs).

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For an unknown head.
    """
    if head not in HEADS:
        raise ValueError(f"Expected one of the heads {', '.join(HEADS)}; got {head!r}.")
    return HEADS[head][0](dim) + (dim if affine else 0)


def build(head: str, out: Tensor, dim: int) -> EigenOperator | DenseOperator:
    """Make one operator per cell from the output of the hypernetwork.

    Parameters
    ----------
    head : {"eigen", "dense"}
        How A is parametrised.
    out : Tensor (n, head_size)
        Raw output.
    dim : int
        Dimension D of the state.

    Returns
    -------
    EigenOperator or DenseOperator
    """
    return HEADS[head][1](out, dim)
