"""Operators in gene space against the formula written out, changes of basis, and cells that are really moved."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData

import cellmnn_edu as ce
from cellmnn_edu.grn.genes import gene_operator, read

DAYS = (0.0, 1.0, 2.5)


def expression(n_genes=7, n_cells=30, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_genes, n_genes)) * np.linspace(2, 0.5, n_genes)
    x = rng.standard_normal((n_cells * len(DAYS), n_genes)) @ mixing + rng.standard_normal(n_genes) * 3
    return AnnData(
        x,
        obs={"time": np.repeat(DAYS, n_cells)},
        var={"gene": [f"g{k}" for k in range(n_genes)]},
    )


def snapshots(n_components=3, rescale=True, **kwargs):
    adata = expression(**kwargs)
    adata.var_names = adata.var["gene"]
    return ce.Snapshots.from_anndata(adata, n_components=n_components, rescale=rescale)


def lively(dim, head="dense", affine=False, seed=0, by=40):
    """A model whose operators vary from cell to cell, in double precision."""
    model = ce.CellMNN(dim, head=head, affine=affine, width=16, depth=2, seed=seed).double()
    with torch.no_grad():
        model.network[-1].weight *= by
        model.network[-1].bias += 0.1 * torch.randn(
            model.network[-1].bias.shape, generator=torch.Generator().manual_seed(seed)
        )
    return model


def written_out(snaps, a):
    """V S A S^-1 V^T, one entry after the other."""
    v = np.eye(snaps.dim) if snaps.loadings is None else snaps.loadings
    w = np.zeros((len(v), len(v)))
    for i in range(len(v)):
        for j in range(len(v)):
            for p in range(snaps.dim):
                for q in range(snaps.dim):
                    w[i, j] += v[i, p] * snaps.scale[p] * a[p, q] / snaps.scale[q] * v[j, q]
    return w


@pytest.mark.parametrize("which", ["operator", "jacobian"])
@pytest.mark.parametrize("n_components", [3, None])
@pytest.mark.parametrize("head", ["eigen", "dense", "rotational"])
def test_gene_operator_is_the_formula(head, n_components, which):
    snaps = snapshots(n_components, n_genes=5)
    model = lively(snaps.dim, head, affine=head == "dense")
    z = snaps.states[1][:4]
    a = model.operator(z, 1.0) if which == "operator" else ce.linearize.jacobian(model, z, 1.0)
    found = gene_operator(model, snaps, z, 1.0, which)
    for k in range(4):
        assert found[k] == pytest.approx(written_out(snaps, a[k]), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_operator_gives_the_decoded_velocity(affine, rescale):
    snaps = snapshots(rescale=rescale)
    model = lively(snaps.dim, affine=affine)
    z, dt = snaps.states[0], 1e-6
    x = snaps.decode(z)
    velocity = (snaps.decode(model.propagate(z, 0.0, dt)) - x) / dt
    constant = (snaps.decode(model.offset(z, 0.0)) - snaps.centre) if affine else 0
    w = gene_operator(model, snaps, z, 0.0)
    assert np.einsum("nij,nj->ni", w, x - snaps.centre) + constant == pytest.approx(velocity, rel=1e-3, abs=1e-3)
    # and without a step, to rounding
    decoded = (model.velocity(z, 0.0) * snaps.scale) @ snaps.loadings.T
    assert np.einsum("nij,nj->ni", w, x - snaps.centre) + constant == pytest.approx(decoded, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("head", ["eigen", "dense"])
def test_pushing_one_gene_is_answered_by_the_jacobian_not_by_the_operator(head):
    snaps = snapshots()
    model = lively(snaps.dim, head, by=10)  # slow: what a step leaves out is of the order of (W dt)^2
    z, t, eps = snaps.states[1][:6], 1.0, 1e-4
    jac = gene_operator(model, snaps, z, t, "jacobian")
    ops = gene_operator(model, snaps, z, t, "operator")
    frozen = model(torch.as_tensor(z), torch.full((len(z),), t, dtype=torch.float64))
    dt = torch.full((len(z),), eps, dtype=torch.float64)
    for gene in range(len(snaps.genes)):
        push = eps * snaps.loadings[gene] / snaps.scale
        answer = model.propagate(z + push, t, t + eps) - model.propagate(z, t, t + eps) - push
        column = answer / eps**2 * snaps.scale @ snaps.loadings.T
        assert column == pytest.approx(jac[:, :, gene], rel=1e-4, abs=1e-4 * np.abs(jac[:, :, gene]).max() + 1e-6)
        assert np.abs(column - ops[:, :, gene]).max() > 0.05 * np.abs(jac[:, :, gene]).max()
        with torch.no_grad():
            still = (frozen.flow(torch.as_tensor(z + push), dt) - frozen.flow(torch.as_tensor(z), dt)).numpy() - push
        held = still / eps**2 * snaps.scale @ snaps.loadings.T
        assert held == pytest.approx(ops[:, :, gene], rel=1e-3, abs=1e-3 * np.abs(ops[:, :, gene]).max())


class Turned:
    """The same dynamics in other coordinates, z' = T z."""

    def __init__(self, model, turn):
        self.model, self.turn, self.back, self.dim = model, turn, np.linalg.inv(turn), model.dim

    def operator(self, z, t):
        return self.turn @ self.model.operator(np.asarray(z) @ self.back.T, t) @ self.back

    def velocity(self, z, t):
        back, turn = (torch.as_tensor(m).to(z) for m in (self.back, self.turn))
        return self.model.velocity(z @ back.T, t) @ turn.T


@pytest.mark.parametrize("which", ["operator", "jacobian"])
@pytest.mark.parametrize("kind", ["signs", "rotation and scales"])
def test_the_basis_of_the_components_does_not_matter(kind, which):
    snaps, rng = snapshots(), np.random.default_rng(3)
    model = lively(snaps.dim)
    if kind == "signs":
        rotation, scale = np.diag([1.0, -1.0, -1.0]), snaps.scale
    else:
        rotation, scale = np.linalg.qr(rng.standard_normal((3, 3)))[0], rng.uniform(0.5, 3, 3)
    turn = np.diag(1 / scale) @ rotation.T @ np.diag(snaps.scale)
    other = replace(
        snaps, loadings=snaps.loadings @ rotation, scale=scale, states=[state @ turn.T for state in snaps.states]
    )
    assert other.states[1] == pytest.approx(other.encode(snaps.raw[1]))
    first = gene_operator(model, snaps, snaps.states[1], 1.0, which)
    second = gene_operator(Turned(model, turn), other, other.states[1], 1.0, which)
    assert second == pytest.approx(first, rel=1e-10, abs=1e-10)


def test_permuting_genes_permutes_the_result():
    adata = expression()
    adata.var_names = adata.var["gene"]
    order = np.random.default_rng(1).permutation(adata.n_vars)
    first = ce.Snapshots.from_anndata(adata, n_components=3)
    second = ce.Snapshots.from_anndata(adata[:, order], n_components=3)
    signs = np.diag(np.sign((first.loadings[order] * second.loadings).sum(0)))
    model = lively(3)
    w = gene_operator(model, first, first.states[0], 0.0)
    permuted = gene_operator(Turned(model, signs), second, second.states[0], 0.0)
    assert permuted == pytest.approx(w[:, order][:, :, order], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("n_components", [3, None])
def test_summaries_are_those_of_the_full_operators(n_components):
    snaps = snapshots(n_components)
    model = lively(snaps.dim, affine=True)
    found = read(model, snaps)
    full = found.full()
    shift = snaps.decode(np.concatenate(snaps.states)) - snaps.centre
    assert len(found) == 90
    assert found.mean() == pytest.approx(full.mean(0))
    strength = full * shift[:, None, :]
    assert found.mean_strength() == pytest.approx(strength.mean(0), abs=1e-10)
    assert found.pairs(["g1", "g0"], ["g4", "g4"]) == pytest.approx(full[:, [1, 0], [4, 4]])
    q = [0.1, 0.5, 0.9]
    assert found.quantiles(q, regulators=["g2", "g5"]) == pytest.approx(np.quantile(full[:, :, [2, 5]], q, axis=0))
    assert found.quantiles(q, targets=["g3"]) == pytest.approx(np.quantile(full[:, [3]], q, axis=0))
    late = found.at(found.times == 2.5)
    assert late.mean() == pytest.approx(full[60:].mean(0))


def test_strengths_of_one_target_add_up_to_its_mean_velocity():
    snaps = snapshots()
    model = lively(snaps.dim)
    velocity = np.concatenate([model.velocity(z, t) for z, t in zip(snaps.states, snaps.times, strict=True)])
    decoded = (velocity * snaps.scale) @ snaps.loadings.T
    assert read(model, snaps).mean_strength().sum(1) == pytest.approx(decoded.mean(0), abs=1e-10)


def test_a_tensor_gives_a_tensor():
    snaps, model = snapshots(), lively(3)
    z = torch.as_tensor(snaps.states[0])
    found = gene_operator(model, snaps, z, torch.tensor(0.0))
    assert isinstance(found, torch.Tensor)
    assert found.numpy() == pytest.approx(gene_operator(model, snaps, snaps.states[0], 0.0))


def test_five_thousand_genes_and_ten_thousand_cells_fit():
    rng = np.random.default_rng(0)
    n_genes, n = 5000, 10_000
    loadings = np.linalg.qr(rng.standard_normal((n_genes, 5)))[0]
    small = snapshots(n_components=5)
    genes = np.array([f"g{k}" for k in range(n_genes)], dtype=object)
    big = replace(small, loadings=loadings, centre=np.zeros(n_genes), genes=genes)
    z = rng.standard_normal((n, 5))
    tracemalloc.start()
    try:
        found = read(ce.CellMNN(5, seed=0), big, z, 0.0)
        mean, strength = found.mean(), found.mean_strength()
        middle = found.quantiles([0.5], regulators=["g17"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e9
    assert mean.shape == strength.shape == (n_genes, n_genes)
    some = found.pairs(["g4"] * 1, ["g17"])
    assert middle[0, 4, 0] == pytest.approx(np.median(some), rel=1e-4)
    with pytest.raises(ValueError, match="mean\\(\\), pairs\\(\\)"):
        found.full()


def test_errors_say_what_to_do():
    snaps, model = snapshots(), lively(3)
    z = snaps.states[0]
    adata = expression()
    adata.obsm["X_pca"] = adata.X[:, :3].copy()
    taken = ce.Snapshots.from_anndata(adata, use_rep="X_pca")
    with pytest.raises(ValueError, match="loadings are not known"):
        gene_operator(model, taken, z, 0.0)
    with pytest.raises(ValueError, match="one of operator, jacobian"):
        gene_operator(model, snaps, z, 0.0, "hessian")
    with pytest.raises(ValueError, match="dimension 3, got one of 4"):
        gene_operator(lively(4), snaps, z, 0.0)
    with pytest.raises(ValueError, match="or neither"):
        read(model, snaps, z)
    with pytest.raises(ValueError, match="Unknown genes Sox2"):
        read(model, snaps).pairs(["Sox2"], ["g1"])
    with pytest.raises(ValueError, match="some targets or some regulators"):
        read(model, snaps).quantiles([0.5])
