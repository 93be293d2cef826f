"""The linearization proposition in code: write a velocity field as f(z, t) = A(z, t) z, and move cells with A.

If f(0, t) = 0, the chain rule d/ds f(s z, t) = J(s z, t) z, integrated over s from 0 to 1, gives f = A z with A the
Jacobian averaged between 0 and z. The proposition is that of von Bassewitz et al. 2026, arXiv:2510.02903.

A ``field`` is a function field(z, t) of torch operations that gives every row of z (n, D) its velocity, from that row
and its time alone; t is a scalar, or (n,) where the caller gives one time per cell. An object with the method
``velocity(z, t)``, such as a CellMNN, is a field too. NumPy states come back as NumPy arrays without gradients, tensors
as differentiable tensors, in the dtype that came in: take float64, for float32 limits every digit promised here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor
from torchdiffeq import odeint

from .operators import DenseOperator

if TYPE_CHECKING:
    from collections.abc import Callable

Array = TypeVar("Array", np.ndarray, Tensor)
# What gives every row of z its velocity: field(z, t), or an object with velocity(z, t).
Field: TypeAlias = Any


def jacobian(field: Field, z: Array, t: float | Array = 0.0) -> Array:
    """Partial derivatives of the field, J[i, j] = d f_i / d z_j, at every state.

    Parameters
    ----------
    field : callable or model
        See the head of this module.
    z : array (n, D)
        States.
    t : float or array (n,)
        Time.

    Returns
    -------
    array (n, D, D)
        Rows are targets, columns are sources.

    Raises
    ------
    ValueError
        For states or times of another shape or not finite, or a field that does not answer with a tensor (n, D).
    """
    return _answer(z, lambda x: _jacobian(field, x, _times(t, x)))


def factorize(
    field: Field, z: Array, t: float | Array = 0.0, n_nodes: int = 64, base: np.ndarray | Tensor | None = None
) -> Array:
    """The factor A of the proposition, f(z, t) = A (z - base): the Jacobian averaged between the base point and z.

    A = int_0^1 J(base + s (z - base), t) ds by Gauss-Legendre quadrature. With 64 nodes the error is below 1e-12 for
    tanh networks and Hill kinetics in float64; with kinks (LeakyReLU) about 7e-3 is left, and 4e-3 with 128 nodes.

    Parameters
    ----------
    field, z, t
        As in `jacobian`.
    n_nodes : int
        Nodes of the quadrature; all of them are evaluated at once, as a batch of n_nodes * n states.
    base : array (D,), optional
        A point at which the field stands still; 0 otherwise.

    Returns
    -------
    array (n, D, D)

    Raises
    ------
    ValueError
        Where f(base, t) is not 0 (then no factor exists; `affine` does), and as in `jacobian`.
    """

    def compute(x: Tensor) -> Tensor:
        times, origin = _times(t, x), _base(base, x)
        a = _average(field, x, times, n_nodes, origin)
        _check_standstill(_evaluate(field, origin.expand_as(x), times), _evaluate(field, x, times), a, origin)
        return a

    return _answer(z, compute)


def affine(
    field: Field, z: Array, t: float | Array = 0.0, n_nodes: int = 64, base: np.ndarray | Tensor | None = None
) -> tuple[Array, Array]:
    """Affine lift of a field that does not stand still at the base point: f(z, t) = A z + b.

    A is the Jacobian averaged between the base point and z, and b = f(base, t) - A base; without a base point b is
    f(0, t). The state (z, 1) moves under [[A, b], [0, 0]], again in closed form.

    Parameters
    ----------
    field, z, t, n_nodes, base
        As in `factorize`, but f(base, t) may have any value.

    Returns
    -------
    A : array (n, D, D)
    b : array (n, D)

    Raises
    ------
    ValueError
        As in `jacobian`.
    """

    def compute(x: Tensor) -> tuple[Tensor, Tensor]:
        times, origin = _times(t, x), _base(base, x)
        a = _average(field, x, times, n_nodes, origin)
        return a, _evaluate(field, origin.expand_as(x), times) - a @ origin

    return _answer(z, compute)


def family(a: Array, z: Array, m: np.ndarray | Tensor) -> Array:
    """Another factor of the same velocity, ``A + M (|z|^2 I - z z^T)``: as smooth as A, whatever the matrix M.

    Parameters
    ----------
    a : array (n, D, D)
        A factor at `z`.
    z : array (n, D)
        States; for a factor about a base point, z - base.
    m : array (D, D) or (n, D, D)
        Any matrix, the same for all states or one for each.

    Returns
    -------
    array (n, D, D)
        Has the same product with z as `a`; for D = 1 it is `a`.
    """

    def compute(x: Tensor) -> Tensor:
        square = (x * x).sum(1)[:, None, None] * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        return torch.as_tensor(a).to(x) + torch.as_tensor(m).to(x) @ (square - x[:, :, None] * x[:, None, :])

    return _answer(z, compute)


def smallest(field: Field, z: Array, t: float | Array = 0.0) -> Array:
    """The factor with the smallest Frobenius norm, ``f z^T / |z|^2``.

    It is not the proposition's: at 0 its limit depends on the direction from which z comes, so no choice of a value
    there makes it continuous; and if f(0, t) is not 0, its entries grow like ``1 / |z|``.

    Parameters
    ----------
    field, z, t
        As in `jacobian`.

    Returns
    -------
    array (n, D, D)
        Of rank one.

    Raises
    ------
    ValueError
        For a state at 0, and as in `jacobian`.
    """

    def compute(x: Tensor) -> Tensor:
        largest = x.abs().amax(1, keepdim=True)
        if (largest == 0).any():
            raise ValueError(
                f"Expected states other than 0, got 0 in row {int((largest == 0).nonzero()[0, 0])}: there the smallest "
                "factor has no value, because its limit depends on the direction. factorize is continuous at 0."
            )
        way = x / largest  # the square of a tiny state would be 0
        weights = way / (way * way).sum(1, keepdim=True) / largest
        return _evaluate(field, x, _times(t, x))[:, :, None] * weights[:, None, :]

    return _answer(z, compute)


def frozen(
    field: Field,
    z: Array,
    t0: float | Array,
    t1: float | Array,
    n_steps: int = 1,
    operator: Callable[[Tensor, Tensor], Tensor | tuple[Tensor, Tensor]] | None = None,
) -> Array:
    """Move cells with the operator of the start, one exponential a step: the paper's propagation. Order 1.

    With `n_steps` above 1 the operator is evaluated anew at the start of each equal step (re-linearized).

    Parameters
    ----------
    field : callable or model
        See the head of this module.
    z : array (n, D)
        Cells at `t0`.
    t0, t1 : float or array (n,)
        Start and end.
    n_steps : int
        Equal steps.
    operator : callable, optional
        operator(z, t) gives A (n, D, D), or (A, b) with b (n, D), of the velocity A z + b. Otherwise a model's own
        operator and offset, and for a plain field its `affine` lift.

    Returns
    -------
    array (n, D)
        Cells at `t1`. Exact where A and b are constant.

    Raises
    ------
    ValueError
        For `n_steps` below 1, and as in `jacobian`.
    """
    at = _operators(field, operator)
    return _march(lambda x, t, h: _flow(at(x, t), x, h), z, t0, t1, n_steps)


def midpoint(
    field: Field,
    z: Array,
    t0: float | Array,
    t1: float | Array,
    n_steps: int = 1,
    operator: Callable[[Tensor, Tensor], Tensor | tuple[Tensor, Tensor]] | None = None,
) -> Array:
    """Move cells with the operator of the middle: half a step finds it, A(z_mid, t + h / 2). Order 2.

    Parameters, returns and errors as in `frozen`.
    """
    at = _operators(field, operator)

    def step(x: Tensor, t: Tensor, h: Tensor) -> Tensor:
        middle = _flow(at(x, t), x, h / 2)
        return _flow(at(middle, t + h / 2), x, h)

    return _march(step, z, t0, t1, n_steps)


def rosenbrock(
    field: Field, z: Array, t0: float | Array, t1: float | Array, n_steps: int = 1, time_term: bool = True
) -> Array:
    """Move cells with the Jacobian: exponential Rosenbrock, z + h phi_1(hJ) f + h^2 phi_2(hJ) df/dt. Order 2.

    One exponential holds both functions phi: the displacement u and the time s that has passed obey the linear law
    u' = J u + (df/dt) s + f, s' = 1, from 0.

    Parameters
    ----------
    field, z, t0, t1, n_steps
        As in `frozen`.
    time_term : bool
        False leaves the term with df/dt out: then the order is 1 for fields that change with time.

    Returns
    -------
    array (n, D)
        Cells at `t1`. Exact where f is linear or affine in z and t.

    Raises
    ------
    ValueError
        As in `frozen`.
    """

    def step(x: Tensor, t: Tensor, h: Tensor) -> Tensor:
        speed, change = _with_time_derivative(field, x, t)
        change = change if time_term else torch.zeros_like(change)
        lifted = torch.cat([_jacobian(field, x, t), change[:, :, None]], dim=2)
        lifted = torch.cat([lifted, torch.zeros_like(lifted[:, :1])], dim=1)
        source = torch.cat([speed, torch.ones_like(speed[:, :1])], dim=1)
        return x + _flow(DenseOperator(lifted, source), torch.zeros_like(source), h)[:, :-1]

    return _march(step, z, t0, t1, n_steps)


def reference(
    field: Field, z: Array, t0: float | Array, t1: float | Array, n_steps: int | None = None, tolerance: float = 1e-10
) -> Array:
    """Move cells with a general ODE solver (torchdiffeq): what the others are compared with.

    Parameters
    ----------
    field, z, t0, t1
        As in `frozen`.
    n_steps : int, optional
        Equal Runge-Kutta steps of order 4. Otherwise Dormand-Prince with as many steps as `tolerance` needs.
    tolerance : float
        Relative and absolute error of one adaptive step, for the worst cell; never below the rounding of the dtype.

    Returns
    -------
    array (n, D)
        Cells at `t1`.

    Raises
    ------
    ValueError
        Where the adaptive steps become too short, and as in `frozen`.
    """
    _check_count("n_steps", 1 if n_steps is None else n_steps)

    def compute(x: Tensor) -> Tensor:
        start, end = torch.broadcast_tensors(_times(t0, x), _times(t1, x))
        # Every cell runs from 0 to 1 on a clock of its own, so that each may have its times.
        length = (end - start).expand(len(x))[:, None]
        grid = torch.linspace(0, 1, (n_steps or 1) + 1, dtype=x.dtype, device=x.device)
        if n_steps is None:
            error = max(tolerance, 10 * torch.finfo(x.dtype).eps)
            settings = {"rtol": error, "atol": error, "options": {"norm": lambda y: y.abs().max()}}
        else:
            settings = {"method": "rk4"}
        try:
            return odeint(lambda s, y: length * _evaluate(field, y, start + s * (end - start)), x, grid, **settings)[-1]
        except AssertionError as reason:
            if "underflow" not in str(reason):
                raise
            raise ValueError(
                "Expected a field that can be followed to t1; the steps became shorter than rounding allows. Does it "
                "grow without bound, or jump? Take a shorter interval, a larger tolerance or n_steps."
            ) from reason

    return _answer(z, compute)


def _evaluate(field: Field, x: Tensor, t: Tensor) -> Tensor:
    velocity = getattr(field, "velocity", field)(x, t)
    if not isinstance(velocity, Tensor) or velocity.shape != x.shape:
        got = tuple(velocity.shape) if hasattr(velocity, "shape") else ""
        raise ValueError(
            f"Expected field(z, t) to give a torch tensor of the shape of z, {tuple(x.shape)}; got "
            f"{type(velocity).__name__} {got}: write the field in torch operations, one row per cell."
        )
    return velocity


def _jacobian(field: Field, x: Tensor, t: Tensor) -> Tensor:
    # Row i of every cell's J at once: cells do not act on each other, so pulling back e_i in all of them is enough.
    _, pull = torch.func.vjp(lambda y: _evaluate(field, y, t), x)
    units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    (rows,) = torch.func.vmap(pull)(units[:, None, :].expand(-1, *x.shape))
    return rows.movedim(0, 1)


def _with_time_derivative(field: Field, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    # Forward mode would do this in one pass, but torch warns when it loads it. Pulling back is linear in what is pulled
    # back, so pulling back that map gives the derivative forward.
    velocity, pull = torch.func.vjp(lambda s: _evaluate(field, x, s), t)
    _, push = torch.func.vjp(lambda u: pull(u)[0], torch.zeros_like(velocity))
    return velocity, push(torch.ones_like(t))[0]


def _average(field: Field, x: Tensor, t: Tensor, n_nodes: int, base: Tensor) -> Tensor:
    _check_count("n_nodes", n_nodes)
    nodes, weights = (torch.as_tensor(v).to(x) / 2 for v in np.polynomial.legendre.leggauss(n_nodes))
    points = base + (nodes + 0.5)[:, None, None] * (x - base)
    times = t.repeat(n_nodes) if t.ndim else t
    along = _jacobian(field, points.reshape(-1, x.shape[1]), times)
    return torch.einsum("q,qnij->nij", weights, along.view(n_nodes, *x.shape, x.shape[1]))


def _operators(field: Field, operator: Callable | None) -> Callable[[Tensor, Tensor], DenseOperator]:
    if operator is None and hasattr(field, "operator"):
        return lambda x, t: DenseOperator(field.operator(x, t), field.offset(x, t))

    def at(x: Tensor, t: Tensor) -> DenseOperator:
        parts = affine(field, x, t) if operator is None else operator(x, t)
        return DenseOperator(*parts) if isinstance(parts, tuple) else DenseOperator(parts)

    return at


def _flow(operator: DenseOperator, x: Tensor, h: Tensor) -> Tensor:
    return operator.flow(x, h.expand(len(x)))


def _march(step: Callable, z: Array, t0: float | Array, t1: float | Array, n_steps: int) -> Array:
    _check_count("n_steps", n_steps)

    def compute(x: Tensor) -> Tensor:
        start, end = torch.broadcast_tensors(_times(t0, x), _times(t1, x))
        h = (end - start) / n_steps
        for k in range(n_steps):
            x = step(x, start + k * h, h)
        return x

    return _answer(z, compute)


def _answer(z: Array, compute: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> Any:
    """Run `compute` on z as a tensor; give back what came in."""
    is_tensor = isinstance(z, Tensor)
    values = z if is_tensor else np.ascontiguousarray(z)
    if not is_tensor and values.dtype.kind not in "fiub":
        raise ValueError(f"Expected states as an array of real numbers, got {type(z).__name__} of {values.dtype}.")
    x = torch.as_tensor(values)
    x = x if x.is_floating_point() else x.double()
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(f"Expected states of shape (n, D), one row per cell; got shape {tuple(x.shape)}.")
    if not torch.isfinite(x).all():
        raise ValueError("Expected finite states, got NaN or inf: on the way to a far time, cells may have exploded.")
    if is_tensor:
        return compute(x)
    with torch.no_grad():
        out = compute(x)
    return tuple(y.numpy() for y in out) if isinstance(out, tuple) else out.numpy()


def _times(t: float | Array, x: Tensor) -> Tensor:
    times = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    if times.ndim > 1 or (times.ndim == 1 and len(times) != len(x)):
        raise ValueError(f"Expected one finite time, or {len(x)} (one per cell); got shape {tuple(times.shape)}.")
    if not torch.isfinite(times).all():
        raise ValueError("Expected finite times, got NaN or inf.")
    return times


def _base(base: np.ndarray | Tensor | None, x: Tensor) -> Tensor:
    point = x.new_zeros(x.shape[1]) if base is None else torch.as_tensor(base).to(x)
    if point.shape != x.shape[1:] or not torch.isfinite(point).all():
        raise ValueError(f"Expected a finite base point of shape ({x.shape[1]},), got shape {tuple(point.shape)}.")
    return point


def _check_standstill(at_base: Tensor, at_states: Tensor, a: Tensor, base: Tensor) -> None:
    size, violation = (v.detach().abs().amax(1) for v in (at_states, at_base))
    # A base point known to the last digit leaves |A| |base| times the rounding, which is forgiven.
    rounding = 1e4 * torch.finfo(size.dtype).eps * (size + a.detach().abs().amax((1, 2)) * base.detach().abs().max())
    stands = violation <= rounding
    if not stands.all():
        row = int((~stands).nonzero()[0])
        where = "f(base, t)" if base.any() else "f(0, t)"
        raise ValueError(
            f"Expected {where} = 0, got a largest entry of {violation[row]:.3g} where |f(z, t)| is {size[row]:.3g} "
            f"(row {row}): no matrix moves the base point, so there is no factor about it. Use affine(...), which "
            "adds an offset, or pass as base a point that stands still."
        )
    if not a.detach().any() and (size > rounding).any():
        raise ValueError(
            "The field changes with z, but torch sees no derivative: write it in torch operations, without detach, "
            "no_grad or numpy."
        )


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"Expected {name} to be an integer of at least 1, got {value!r}.")
