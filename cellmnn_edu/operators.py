"""Local linear operators: what A is, how it acts, and how it moves a cell in closed form.

A head turns the raw output of the hypernetwork into one operator per cell. The operator keeps A in the form
that makes its exponential cheap; every matrix exponential of the project is taken here.
With the affine lift the velocity is A z + b: the state (z, 1) under the operator [[A, b], [0, 0]].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

# The Taylor series is used up to |(A dt)^4|^(1/4) of this size: beyond it rounding spoils the sum, like e^|A dt|.
SERIES_REACH = 5.0


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

    def velocities(self, z: Tensor, dt: Tensor) -> Tensor:
        """Velocities of states (n, D) after durations dt (..., n) with the operator frozen; shape (..., n, D)."""
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
        return _or_zero(self.constant, self.values)

    def apply(self, z: Tensor) -> Tensor:
        """Velocity A z + b of states (..., n, D)."""
        return _leave(self.basis, self.values * _enter(self.basis, z)) + self.offset()

    def flow(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) z: one exponential per eigenvalue and one solve, whatever the number of durations."""
        step = self.values * dt[..., None]
        moved = torch.exp(step) * _enter(self.basis, z)
        if self.constant is not None:
            moved = moved + dt[..., None] * _phi1(step) * _enter(self.basis, self.constant)
        return _leave(self.basis, moved)

    def velocities(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) (A z + b): a velocity moves as a state does, without the offset."""
        start = self.values * _enter(self.basis, z)
        if self.constant is not None:
            start = start + _enter(self.basis, self.constant)
        return _leave(self.basis, torch.exp(self.values * dt[..., None]) * start)

    def barrier(self) -> Tensor:
        """Mean of 1 / (|det P| + 1e-4): P must stay invertible."""
        return _barrier(self.basis)


@dataclass(frozen=True)
class RotationalOperator:
    """A = P^-1 B P, where B has a 2 x 2 block for each pair of coordinates (and one number for an odd D).

    A block is growth I + N with N = [[stretch, -turn], [turn, -stretch]]. Since N N = (stretch^2 - turn^2) I, its
    exponential has a closed form. Its eigenvalues are growth +- sqrt(stretch^2 - turn^2): a complex pair, two
    real numbers, or a defective pair in between.

    Attributes
    ----------
    growth, stretch, turn : Tensor (n, D // 2)
        Of each block.
    single : Tensor (n, D % 2)
        The eigenvalue that has no partner.
    basis : Tensor (n, D, D)
        P: it takes a state to the coordinates in which each block acts alone.
    constant : Tensor (n, D) or None
        b of the affine lift.
    """

    growth: Tensor
    stretch: Tensor
    turn: Tensor
    single: Tensor
    basis: Tensor
    constant: Tensor | None = None

    def matrix(self) -> Tensor:
        """A, shape (n, D, D)."""
        return torch.linalg.solve(self.basis, self._blocks(self.basis.mT).mT)

    def offset(self) -> Tensor:
        """Constant part b of the affine lift, shape (n, D)."""
        return _or_zero(self.constant, self.basis[..., 0])

    def apply(self, z: Tensor) -> Tensor:
        """Velocity A z + b of states (..., n, D)."""
        y = _enter(self.basis, z)
        return _leave(self.basis, self._blocks(y[..., None, :])[..., 0, :]) + self.offset()

    def flow(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) z: e^(growth dt) (cosh s I + sinh(s) / s N dt) for each block, with s^2 = dt^2 N N.

        With an offset, the lifted operator is no longer of this form, and moves as a dense one.
        """
        if self.constant is not None:
            return DenseOperator(self.matrix(), self.constant).flow(z, dt)
        y, t = _enter(self.basis, z), dt[..., None]
        first, second, last = self._split(y)
        along, across = _BlockExponential.apply(self.growth * t, (self.stretch**2 - self.turn**2) * t**2)
        across = across * t
        moved = [
            along * first + across * (self.stretch * first - self.turn * second),
            along * second + across * (self.turn * first - self.stretch * second),
            torch.exp(self.single * t) * last,
        ]
        return _leave(self.basis, torch.cat(moved, dim=-1))

    def velocities(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) (A z + b): a velocity moves as a state does, without the offset."""
        return replace(self, constant=None).flow(self.apply(z), dt)

    def barrier(self) -> Tensor:
        """Mean of 1 / (|det P| + 1e-4): P must stay invertible."""
        return _barrier(self.basis)

    def _split(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """First and second coordinates of the pairs, and the one that is left over."""
        return y.split([self.growth.shape[-1], self.growth.shape[-1], self.single.shape[-1]], dim=-1)

    def _blocks(self, y: Tensor) -> Tensor:
        """B y for rows y (n, any, D)."""
        growth, stretch, turn, single = (x[:, None] for x in (self.growth, self.stretch, self.turn, self.single))
        first, second, last = self._split(y)
        moved = [(growth + stretch) * first - turn * second, turn * first + (growth - stretch) * second, single * last]
        return torch.cat(moved, dim=-1)


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
        return _or_zero(self.constant, self.entries[..., 0])

    def apply(self, z: Tensor) -> Tensor:
        """Velocity A z + b of states (..., n, D)."""
        return torch.einsum("nij,...nj->...ni", self.entries, z) + self.offset()

    def flow(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) z: the vectors A^j z / j! serve all durations at once; cells that go far use matrix_exp.

        With m the mean of A's diagonal and r = |A - m I| dt in the 1-norm, the error is below 1e-5 (float32) or
        1e-13 (float64) of (1 + r) e^(m dt + r) |z|. The offset counts as one more coordinate.
        """
        if self.constant is None:
            return _move(self.entries, z, dt)
        # The appended coordinate is not 1 but of the size that makes its column as long as those of A.
        unit = _lift_unit(self.entries, self.constant, dt)[:, None]
        lifted = torch.cat([self.entries, (self.constant / unit)[:, :, None]], dim=2)
        lifted = torch.cat([lifted, torch.zeros_like(lifted[:, :1])], dim=1)
        return _move(lifted, torch.cat([z, unit], dim=1), dt)[..., :-1]

    def velocities(self, z: Tensor, dt: Tensor) -> Tensor:
        """exp(A dt) (A z + b): a velocity moves as a state does, without the offset."""
        return _move(self.entries, self.apply(z), dt)

    def barrier(self) -> Tensor:
        """Zero: every matrix is allowed."""
        return self.entries.new_zeros(())


def _or_zero(constant: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if constant is None else constant


def _enter(basis: Tensor, z: Tensor) -> Tensor:
    """P z for states (..., n, D)."""
    return torch.einsum("nij,...nj->...ni", basis, z)


def _leave(basis: Tensor, y: Tensor) -> Tensor:
    """P^-1 y for states (..., n, D): all durations are right-hand sides of the same n systems."""
    columns = y.reshape(math.prod(y.shape[:-2]), *y.shape[-2:]).permute(1, 2, 0)
    return torch.linalg.solve(basis, columns).permute(2, 0, 1).reshape(y.shape)


def _barrier(basis: Tensor) -> Tensor:
    return (1 / (torch.linalg.det(basis).abs() + 1e-4)).mean()


def _phi1(x: Tensor) -> Tensor:
    """(exp(x) - 1) / x = e^(x/2) sinh(x/2) / (x/2), with its limit at 0."""
    return _BlockExponential.apply(x / 2, (x / 2) ** 2)[1]


class _BlockExponential(torch.autograd.Function):
    """e^growth cosh(s) and e^growth sinh(s) / s for s^2 = square of either sign, smooth through 0.

    Its gradient is written by hand because it is simpler than the function: with (c, k) the two results,
    dc/dsquare = k / 2 and dk/dsquare = (c - k) / (2 square), no branches but one.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(growth: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
        small, turns = square.abs() < 1e-8, square < 0
        s = torch.where(small, 1.0, square.abs()).sqrt()
        # e^s is taken out of cosh and sinh before it can overflow.
        scale = torch.exp(torch.where(small | turns, growth, growth + s))
        fall = torch.expm1(-2 * s) / 2
        cosh = torch.where(turns, s.cos(), 1 + fall)
        sinhc = torch.where(turns, s.sin(), -fall) / s
        return scale * torch.where(small, 1 + square / 2, cosh), scale * torch.where(small, 1 + square / 6, sinhc)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(ctx: FunctionCtx, to_c: Tensor, to_k: Tensor) -> tuple[Tensor, Tensor]:
        growth, square, c, k = ctx.saved_tensors
        small = square.abs() < 1e-1
        series = torch.exp(growth) / 3 * (1 + square / 10 * (1 + square / 28 * (1 + square / 54 * (1 + square / 88))))
        slope = torch.where(small, series, (c - k) / torch.where(small, 1.0, square))
        return to_c * c + to_k * k, (to_c * k + to_k * slope) / 2


def _lift_unit(a: Tensor, constant: Tensor, dt: Tensor) -> Tensor:
    """Size of the coordinate that carries the offset, one for each cell: any positive number is right."""
    with torch.no_grad():
        longest = _longest(dt, len(a))
        size = constant.abs().sum(-1) / torch.maximum(_norm(a), 1 / longest)
        return torch.where((size > 0) & torch.isfinite(size), size, torch.ones_like(size))


def _longest(dt: Tensor, n: int) -> Tensor:
    """Longest duration of each cell, 1 where there is none."""
    if not dt.numel():
        return torch.ones(n, dtype=dt.dtype, device=dt.device)
    longest = dt.detach().abs().reshape(-1, n).amax(0)
    return torch.where(longest > 0, longest, 1.0)


def _move(a: Tensor, z: Tensor, dt: Tensor) -> Tensor:
    """exp(a dt) z for a (n, D, D), z (n, D), dt (..., n): by series, or by matrix_exp for the cells that go far."""
    unit = _longest(dt, len(z))
    # What the matrix has in common with the identity needs no series.
    mean = torch.diagonal(a, dim1=-2, dim2=-1).mean(-1)
    rest = (a - mean[:, None, None] * torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)) * unit[:, None, None]
    square = torch.bmm(rest, rest)
    powers = rest, square, torch.bmm(square, square)
    # Not "far >": a cell that is lost to NaN must not count as near, or it would spoil the degree for all.
    near = (_norm(powers[2].detach()) <= SERIES_REACH**4) & (_norm(rest.detach()) <= 1e6)
    try:
        n_near = int(near.sum())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        n_near = 0  # inside torch.func.vmap no number can be looked at
    if n_near == 0:
        return by_matrix_exp(a, z, dt)
    if n_near == len(z):
        return torch.exp(mean * dt)[..., None] * _series(powers, z, dt / unit)
    moved = torch.empty(*dt.shape, z.shape[-1], dtype=z.dtype, device=z.device)
    for some in (near, ~near):
        moved[..., some, :] = _move(a[some], z[some], dt[..., some])
    return moved


def by_matrix_exp(a: Tensor, z: Tensor, dt: Tensor) -> Tensor:
    """exp(a dt) z by torch.linalg.matrix_exp, one matrix for each cell and duration.

    Parameters
    ----------
    a : Tensor (n, D, D)
        Operators.
    z : Tensor (n, D)
        Cells.
    dt : Tensor (..., n)
        Durations.

    Returns
    -------
    Tensor (..., n, D)
        Slower than `DenseOperator.flow`, whatever the size of a dt; the rival of the timings.
    """
    return torch.einsum("...nij,nj->...ni", torch.linalg.matrix_exp(a * dt[..., None, None]), z)


def _series(powers: tuple[Tensor, Tensor, Tensor], z: Tensor, dt: Tensor) -> Tensor:
    """Taylor series of exp(a dt) z, |dt| <= 1, from a, a^2, a^4: the vectors a^j z serve every duration."""
    first, second, fourth = powers
    pair = torch.cat([z[..., None], torch.bmm(first, z[..., None])], dim=-1)
    blocks = [torch.cat([pair, torch.bmm(second, pair)], dim=-1)]  # z, a z, a^2 z, a^3 z
    reach, pace = (_norm(power.detach()).max().item() for power in (first, fourth))
    for _ in range(_degree(reach, pace**0.25, torch.finfo(z.dtype).eps) // 4):
        blocks.append(torch.bmm(fourth, blocks[-1]))
    vectors = torch.cat(blocks, dim=-1)  # (n, D, orders)
    inverse = torch.tensor([1 / math.factorial(j) for j in range(vectors.shape[-1])], dtype=z.dtype, device=z.device)
    weights = torch.linalg.vander(dt.reshape(math.prod(dt.shape[:-1]), len(z)), N=len(inverse)) * inverse
    return torch.bmm(vectors, weights.permute(1, 2, 0)).permute(2, 0, 1).reshape(*dt.shape, z.shape[-1])


def _norm(a: Tensor) -> Tensor:
    """1-norms of matrices (n, D, D)."""
    return a.abs().sum(-2).amax(-1)


def _degree(reach: float, pace: float, tolerance: float) -> int:
    """Order at which the series of exp(a) may stop, if |a| <= reach and |a^4| <= pace^4.

    Then |a^j| <= pace^(j-3) reach^3, because pace <= reach.
    """
    degree, term = 3, reach**3 / 6
    while term > tolerance * (1 - pace / (degree + 1)):
        degree += 1
        term *= pace / degree
    return degree


def _rotational(out: Tensor, dim: int) -> RotationalOperator:
    pairs = dim // 2
    blocks, rest = out[:, : 3 * pairs + dim % 2], out[:, 3 * pairs + dim % 2 :]
    growth, stretch, turn, single = blocks.split([pairs, pairs, pairs, dim % 2], dim=1)
    return RotationalOperator(growth, stretch, turn, single, _basis(rest, dim), _constant(rest[:, dim * dim :]))


def _eigen(out: Tensor, dim: int) -> EigenOperator:
    values, rest = out[:, :dim], out[:, dim:]
    return EigenOperator(values, _basis(rest, dim), _constant(rest[:, dim * dim :]))


def _basis(rest: Tensor, dim: int) -> Tensor:
    # P starts at the identity, so that it starts invertible.
    return torch.eye(dim, dtype=rest.dtype, device=rest.device) + rest[:, : dim * dim].view(-1, dim, dim)


def _dense(out: Tensor, dim: int) -> DenseOperator:
    return DenseOperator(out[:, : dim * dim].view(-1, dim, dim), _constant(out[:, dim * dim :]))


def _constant(rest: Tensor) -> Tensor | None:
    return rest if rest.shape[1] else None


HEADS = {
    "eigen": (lambda dim: dim + dim * dim, _eigen),
    "dense": (lambda dim: dim * dim, _dense),
    "rotational": (lambda dim: 3 * (dim // 2) + dim % 2 + dim * dim, _rotational),
}


def head_size(head: str, dim: int, affine: bool = False) -> int:
    """Number of outputs the hypernetwork needs for a head.

    Parameters
    ----------
    head : {"eigen", "dense", "rotational"}
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


def build(head: str, out: Tensor, dim: int) -> EigenOperator | DenseOperator | RotationalOperator:
    """Make one operator per cell from the output of the hypernetwork.

    Parameters
    ----------
    head : {"eigen", "dense", "rotational"}
        How A is parametrised.
    out : Tensor (n, head_size)
        Raw output.
    dim : int
        Dimension D of the state.

    Returns
    -------
    EigenOperator, DenseOperator or RotationalOperator
    """
    return HEADS[head][1](out, dim)
