"""Scores of gene networks against hand counts, scikit-learn, brute force and enumeration."""

import csv
from collections import Counter, defaultdict
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from conftest import REPO
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

import cellmnn_edu as ce
from cellmnn_edu.grn.scoring import compare, reference, rewire, score


def table(rows, last="mode"):
    return pd.DataFrame([dict(zip(("regulator", "target", last), row.split(), strict=True)) for row in rows])


def weights(rows):
    return table(rows, "weight").astype({"weight": float})


def all_pairs(matrix, genes=None):
    """The brute-force table of a matrix (rows = targets): off-diagonal pairs, one by one."""
    genes = [f"g{i:02d}" for i in range(len(matrix))] if genes is None else genes
    rows = [(genes[j], genes[i], matrix[i][j]) for i, j in product(range(len(genes)), repeat=2) if i != j]
    return pd.DataFrame(rows, columns=["regulator", "target", "weight"])


def random_network(seed, size=12, density=0.25):
    rng = np.random.default_rng(seed)
    return all_pairs(rng.choice([1, -1, 0], (size, size), p=[density * 0.7, density * 0.3, 1 - density]))


def truth_of(network):
    return reference(network[network["weight"] != 0].rename(columns={"weight": "sign"}).astype({"sign": int}))


def with_weights(network, values):
    return network.assign(weight=values)


# -- reference ---------------------------------------------------------------------------------------------------------


def test_reference_cleans_every_kind_of_row():
    listed = table(
        [
            *("A B Activation", "A B Activation", "A B Unknown"),  # a known sign outweighs Unknown
            *("A C Activation", "A C Repression", "A C Unknown"),  # a conflict
            *("B C Unknown", "B A Repression", "C C Activation", "C D Repression"),
        ]
    )
    clean = reference(listed)
    signs = {(row.regulator, row.target): row.sign for row in clean.itertuples()}
    assert signs == {("A", "B"): 1, ("A", "C"): 0, ("B", "C"): 0, ("B", "A"): -1, ("C", "D"): -1}
    assert clean.attrs == {"outside": 0, "self_loops": 1, "duplicates": 4, "conflicts": 1, "unknown": 1}
    inside = reference(listed, genes=["A", "B", "C"])
    assert len(inside) == 4
    assert inside.attrs["outside"] == 1
    pd.testing.assert_frame_equal(reference(clean), clean)


@pytest.mark.parametrize("source", ["shipped", "human", "mouse"])
def test_reference_of_trrust_counts_as_a_loop_over_the_file_does(source, request):
    if source == "shipped":
        path, network = REPO / "data" / "trrust_human.tsv", ce.datasets.trrust("human", source="shipped")
    else:
        path = request.getfixturevalue("seeded_cache") / "trrust" / f"trrust_rawdata.{source}.tsv"
        network = ce.datasets.trrust(source)
    modes, loops = defaultdict(list), 0
    with path.open() as file:
        for row in csv.reader(file, delimiter="\t"):
            if row[0] == row[1]:
                loops += 1
            elif row[2] != "mode":
                modes[row[0], row[1]].append(row[2])
    clean = reference(network)
    expected = Counter()
    for listed in modes.values():
        kinds = set(listed) - {"Unknown"}
        expected["conflicts"] += len(kinds) == 2
        expected["unknown"] += not kinds
        expected["up"] += kinds == {"Activation"}
        expected["down"] += kinds == {"Repression"}
        expected["duplicates"] += len(listed) - 1
    assert len(clean) == len(modes)
    assert clean.attrs["self_loops"] == loops
    assert {key: clean.attrs[key] for key in ("conflicts", "unknown", "duplicates")} == {
        key: expected[key] for key in ("conflicts", "unknown", "duplicates")
    }
    assert ((clean["sign"] == 1).sum(), (clean["sign"] == -1).sum()) == (expected["up"], expected["down"])
    if source == "shipped":
        assert (len(clean), expected["up"], expected["down"], expected["unknown"]) == (6305, 4876, 1320, 109)


@given(st.lists(st.tuples(*[st.sampled_from("abcd")] * 2, st.sampled_from([-1, 0, 1])), min_size=1), st.randoms())
@settings(deadline=None, max_examples=25)
def test_reference_accounts_for_every_row_in_any_order(rows, random):
    listed = pd.DataFrame([("A", "b", 1), *rows], columns=["regulator", "target", "sign"])
    clean = reference(listed, genes=["A", "a", "b", "c"])
    dropped = clean.attrs["outside"] + clean.attrs["self_loops"] + clean.attrs["duplicates"]
    assert len(clean) + dropped == len(listed)
    assert (clean["sign"] == 0).sum() == clean.attrs["conflicts"] + clean.attrs["unknown"]
    again = reference(listed.sample(frac=1, random_state=random.randrange(999)), genes=["c", "b", "a", "A"])
    pd.testing.assert_frame_equal(again, clean)
    assert again.attrs == clean.attrs


def test_upper_answers_in_the_spelling_of_the_genes():
    human = table(["GATA6 NANOG Repression", "POU5F1 NANOG Activation", "POU5F1 SOX2 Activation"])
    clean = reference(human, genes=["Nanog", "Pou5f1", "Gata6"], upper=True)
    assert list(zip(clean["regulator"], clean["target"], clean["sign"], strict=True)) == [
        ("Gata6", "Nanog", -1),
        ("Pou5f1", "Nanog", 1),
    ]
    with pytest.raises(ValueError, match=r"upper=True"):
        reference(human, genes=["Nanog", "Pou5f1"])
    with pytest.raises(ValueError, match="Nanog from NANOG"):
        reference(human, genes=["Nanog", "NANOG", "Pou5f1"], upper=True)
    with pytest.raises(ValueError, match="pass genes"):
        reference(human, upper=True)


@pytest.mark.parametrize("name", ["toggle", "repressilator", "myeloid", "linear"])
def test_reference_of_a_circuit_is_its_network_off_the_diagonal(name):
    circuit = ce.simulate.gene_circuit(name)
    clean = reference(circuit)
    rebuilt = np.zeros_like(circuit.network)
    names = list(circuit.genes)
    for row in clean.itertuples():
        rebuilt[names.index(row.target), names.index(row.regulator)] = row.sign
    np.testing.assert_array_equal(rebuilt, circuit.network * (1 - np.eye(len(names), dtype=int)))
    assert clean.attrs["self_loops"] == np.count_nonzero(np.diag(circuit.network))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (table(["A B activates"]), "activates"),
        (table(["A B 2"], "sign").astype({"sign": int}), "sign in 1"),
        (table(["A B 1"], "weight"), "mode or sign"),
        (table(["A B Activation"]).assign(target=None), "missing gene symbol"),
        (table(["A A Activation"]), "two different genes"),
        (np.eye(3), "ndarray"),
    ],
)
def test_reference_refuses_what_is_no_network(source, message):
    with pytest.raises(ValueError, match=message):
        reference(source)


# -- score: numbers ----------------------------------------------------------------------------------------------------

KNOWN = table(["A B Activation", "A C Repression", "B C Activation", "C A Repression", "C B Unknown"])


def test_score_by_hand():
    # Signs: A->B right, A->C wrong, B->C weight 0 (half), C->A right. Sizes of the edges 3, 2, 0, 1, 4; no other
    # pair but B->A, of size 1.5, which lies below 3, 2, 4 and above 0, 1: AUROC 3/5.
    # Ranking 4 3 2 (1.5) 1 0: precision at the five edges 1, 1, 1, 4/5, 5/6.
    edges = weights(["A B 3", "A C 2", "B C 0", "C A -1", "C B -4", "B A 1.5", "A A 9", "D A 7"])
    result = score(edges, KNOWN, n_permutations=50)
    exact = {"n_edges": 4, "n_pairs": 6, "n_true": 5, "accuracy": 2.5 / 4, "base_rate": 0.5, "auroc": 3 / 5}
    exact |= {"balanced_accuracy": (0.75 + 0.5) / 2, "sign_auroc": 2.5 / 4}
    exact |= {"auprc": (3 + 4 / 5 + 5 / 6) / 5, "auprc_ratio": (3 + 4 / 5 + 5 / 6) / 5 / (5 / 6)}
    exact |= {"true_activation": 1.5, "false_repression": 0.5, "true_repression": 1, "false_activation": 1}
    exact |= {"f1_activation": 2 * 1.5 / (2 * 1.5 + 1 + 0.5)}
    exact["sign_auroc"] = np.mean([3 > 2, 3 > -1, 0 > 2, 0 > -1])
    for key, value in exact.items():
        assert result[key] == pytest.approx(value, abs=1e-12), key


@given(seed=st.integers(0, 10_000), tied=st.booleans())
@settings(deadline=None, max_examples=15)
def test_plain_scores_are_scikit_learns(seed, tied):
    network = random_network(seed)
    rng = np.random.default_rng(seed + 1)
    values = rng.choice([-2.0, -1.0, 1.0, 2.0], len(network)) if tied else rng.normal(size=len(network))
    result = score(with_weights(network, values), truth_of(network), n_permutations=5)
    sign = network["weight"].to_numpy()
    known, called = sign != 0, np.sign(values)
    acts = network["regulator"].isin(network["regulator"][known]).to_numpy()
    assert result["accuracy"] == pytest.approx(accuracy_score(sign[known], called[known]))
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(sign[known], called[known]))
    assert result["f1_activation"] == pytest.approx(f1_score(sign[known] > 0, called[known] > 0))
    assert result["sign_auroc"] == pytest.approx(roc_auc_score(sign[known] > 0, values[known]))
    assert result["auroc"] == pytest.approx(roc_auc_score(known[acts], abs(values[acts])))
    assert result["auprc"] == pytest.approx(average_precision_score(known[acts], abs(values[acts])))
    assert result["n_pairs"] == acts.sum()


def test_perfect_inverted_and_silent_weights():
    network = random_network(0, size=20)
    truth = truth_of(network)
    perfect = score(network, truth)
    assert [perfect[key] for key in ("accuracy", "balanced_accuracy", "sign_auroc", "auroc", "auprc")] == [1] * 5
    assert [perfect[key] for key in ("p_value", "existence_p_value", "degree_p_value")] == [1 / 1001] * 3
    assert (perfect["accuracy_low"], perfect["accuracy_high"], perfect["auroc_low"]) == (1, 1, 1)
    assert perfect["warning"] == ""
    inverted = score(with_weights(network, -network["weight"]), truth)
    assert [inverted[key] for key in ("accuracy", "sign_auroc", "auroc", "p_value")] == [0, 0, 1, 1]
    assert "inside its null" in inverted["warning"]
    assert "AUROC" not in inverted["warning"]
    silent = score(with_weights(network, 0.0), truth)
    assert [silent[key] for key in ("accuracy", "balanced_accuracy", "sign_auroc", "auroc")] == [0.5] * 4
    assert [silent[key] for key in ("p_value", "existence_p_value", "degree_p_value")] == [1] * 3


def test_always_activation_has_a_high_f1_and_is_warned_of():
    network = random_network(1, size=20)
    result = score(with_weights(network, 1.0), truth_of(network))
    assert result["accuracy"] == result["base_rate"] == result["null_mean"]
    assert result["f1_activation"] == pytest.approx(2 * result["base_rate"] / (1 + result["base_rate"]))
    assert result["f1_activation"] > 0.75
    assert result["balanced_accuracy"] == 0.5
    assert 'does not beat "always activation"' in result["warning"]
    assert "inside its null" in result["warning"]


def test_unknown_signs_are_edges_without_a_sign():
    network = random_network(2)
    truth = truth_of(network)
    unknown = truth.assign(sign=truth["sign"].where(np.arange(len(truth)) % 2 == 0, 0))
    full, half = (score(network, some, n_permutations=20) for some in (truth, unknown))
    assert (half["n_edges"], half["n_true"]) == ((len(truth) + 1) // 2, len(truth))
    assert (half["auroc"], half["auprc"]) == (full["auroc"], full["auprc"])
    silent = score(network, truth.assign(sign=0), n_permutations=20)
    assert (silent["n_edges"], silent["auroc"]) == (0, full["auroc"])
    assert np.isnan(silent["accuracy"])
    assert "no sign task" in silent["warning"]


def test_one_sign_alone_gives_nan_and_says_so():
    network = random_network(3).assign(weight=lambda rows: rows["weight"].abs())
    result = score(network, truth_of(network), n_permutations=20)
    assert np.isnan(result["balanced_accuracy"])
    assert np.isnan(result["sign_auroc"])
    assert (result["accuracy"], result["p_value"]) == (1, 1)
    assert "signs are alike" in result["warning"]


def test_edges_alone_have_signs_but_no_auroc():
    network = random_network(4)
    result = score(network[network["weight"] != 0], truth_of(network), n_permutations=20)
    assert result["accuracy"] == 1
    assert np.isnan(result["auroc"])
    assert "no AUROC" in result["warning"]


# -- score: nulls and intervals ----------------------------------------------------------------------------------------


def test_the_sign_null_is_hypergeometric():
    network = random_network(5, size=15)
    values = np.random.default_rng(0).normal(0.3, 1, len(network))
    edges, known = with_weights(network, values), (network["weight"] != 0).to_numpy()
    result = score(edges[known], truth_of(network), n_permutations=20_000)
    n, up, called = known.sum(), (network["weight"] > 0).sum(), (values[known] > 0).sum()
    hits = hypergeom(n, up, called)  # activations among the edges called up
    hit = result["true_activation"]
    assert result["null_mean"] == pytest.approx((2 * hits.mean() + n - up - called) / n, abs=0.002)
    assert result["p_value"] == pytest.approx(hits.sf(hit - 1), abs=0.02)


def test_the_label_null_is_the_mann_whitney_test():
    from scipy.stats import mannwhitneyu

    network = random_network(6, size=15)
    values = np.abs(np.random.default_rng(1).normal(size=len(network)) + 0.3 * network["weight"].abs())
    result = score(with_weights(network, values), truth_of(network), n_permutations=3000)
    edge = (network["weight"] != 0).to_numpy()
    assert set(network["regulator"][edge]) == set(network["regulator"])
    assert result["existence_null_mean"] == pytest.approx(0.5, abs=0.003)
    expected = mannwhitneyu(values[edge], values[~edge], alternative="greater").pvalue
    assert result["existence_p_value"] == pytest.approx(expected, abs=0.03)


def test_p_values_of_random_weights_are_uniform():
    network = random_network(7, size=15)
    truth, rng = truth_of(network), np.random.default_rng(2)
    found = pd.DataFrame(
        score(with_weights(network, rng.normal(size=len(network))), truth, n_permutations=39, seed=seed)
        for seed in range(50)
    )
    for key in ("p_value", "existence_p_value", "degree_p_value"):
        # Uniform: mean 1/2 and quantiles where they belong; the accuracy is discrete, its p-values a little large.
        assert found[key].mean() == pytest.approx(0.53, abs=0.12), key
        assert (found[key] <= 0.1).mean() == pytest.approx(0.1, abs=0.1), key
    for null in ("existence_null_mean", "degree_null_mean"):
        assert found[null].mean() == pytest.approx(0.5, abs=0.02)


def test_weights_that_know_the_hubs_alone_beat_the_labels_but_not_the_degrees():
    # With independent edges of log odds a_i + b_j, all networks of the same degrees are equally likely: the rewired
    # references are draws from the very law of the reference, whatever the weights.
    rng, found = np.random.default_rng(3), []
    for seed in range(10):
        log_odds = rng.normal(size=(20, 1)) + 1.5 * rng.normal(size=20) - 1.5  # rows = targets
        truth = truth_of(all_pairs((rng.random((20, 20)) < 1 / (1 + np.exp(-log_odds))).astype(int)))
        found.append(score(all_pairs(log_odds - log_odds.min()), truth, n_permutations=100, seed=seed))
    found = pd.DataFrame(found)
    assert (found["auroc"] > 0.65).all()
    assert (found["existence_p_value"] < 0.01).all()
    assert found["degree_null_mean"].mean() == pytest.approx(found["auroc"].mean(), abs=0.02)
    assert found["degree_p_value"].mean() == pytest.approx(0.5, abs=0.25)
    doubted = found["degree_p_value"] > 0.05
    assert doubted.sum() >= 8
    assert found["warning"][doubted].str.contains("same degrees").all()


@given(seed=st.integers(0, 10_000), rounds=st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_rewiring_keeps_degrees_and_makes_no_self_loops_or_doubles(seed, rounds):
    rng = np.random.default_rng(seed)
    network = (rng.random((9, 9)) < rng.uniform(0.05, 0.9)) & ~np.eye(9, dtype=bool)
    allowed = network | ((rng.random((9, 9)) < 0.9) & ~np.eye(9, dtype=bool))
    regulator, target = np.nonzero(network)
    before = target.copy()
    new = rewire(regulator, target, allowed, rounds, rng)
    np.testing.assert_array_equal(target, before)
    assert allowed[regulator, new].all()
    assert len(set(zip(regulator, new, strict=True))) == len(new)
    np.testing.assert_array_equal(np.bincount(new, minlength=9), np.bincount(target, minlength=9))


def test_rewiring_reaches_every_network_of_these_degrees_equally_often():
    # All 0/1 matrices (5, 5) with a zero diagonal and these sums, by enumeration.
    start = np.array([[0, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0]])
    options = [[c for c in combinations(range(5), k) if i not in c] for i, k in enumerate(start.sum(1))]
    same = {tuple(rows) for rows in product(*options) if Counter(np.concatenate(rows)) == Counter(np.nonzero(start)[1])}
    regulator, target = np.nonzero(start)
    allowed, rng, seen, draws = ~np.eye(5, dtype=bool), np.random.default_rng(0), Counter(), 3000
    for _ in range(draws):
        target = rewire(regulator, target, allowed, 12, rng)
        seen[tuple(tuple(sorted(target[regulator == i])) for i in range(5))] += 1
    assert set(seen) == same
    expected = draws / len(same)
    counts = np.array([seen[rows] for rows in same])
    # Draws that follow each other are a little alike: twice the variance of independent ones is allowed for.
    assert ((counts - expected) ** 2 / expected).mean() < 2


def test_intervals_are_a_bootstrap_over_whole_regulators():
    network = random_network(8, size=10, density=0.4)
    edges = with_weights(network, network["weight"] + np.random.default_rng(4).normal(0, 1.5, len(network)))
    truth = truth_of(network)
    result = score(edges, truth, n_permutations=1500)
    merged = edges.merge(truth, how="left", on=["regulator", "target"])
    groups = [group for _, group in merged.groupby("regulator")]
    rng, drawn = np.random.default_rng(5), []
    for _ in range(400):  # brute force: put the tables of the drawn regulators together, and score with scikit-learn
        sample = pd.concat([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        known = sample[sample["sign"].notna()]
        accuracy = (np.sign(known["weight"]) == known["sign"]).mean()
        drawn.append((accuracy, roc_auc_score(sample["sign"].notna(), sample["weight"].abs())))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    assert (result["accuracy_low"], result["auroc_low"]) == pytest.approx(tuple(low), abs=0.03)
    assert (result["accuracy_high"], result["auroc_high"]) == pytest.approx(tuple(high), abs=0.03)
    narrow = score(edges, truth, n_permutations=1500, level=0.5)
    assert result["auroc_low"] < narrow["auroc_low"] < narrow["auroc_high"] < result["auroc_high"]


def test_two_regulators_give_no_interval():
    result = (
        score(weights(["A B 1", "B A -1", "A C 2", "B C 1"]), ce.simulate.gene_circuit("toggle"), 20) if 0 else None
    )
    toggle = ce.simulate.gene_circuit("toggle")
    result = score(all_pairs(toggle.network, toggle.genes), toggle, n_permutations=20)
    assert result["accuracy"] == 1
    assert np.isnan([result[key] for key in ("accuracy_low", "accuracy_high", "auroc_low", "auroc_high")]).all()


# -- invariances, errors, compare --------------------------------------------------------------------------------------


def same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        assert left[key] == right[key] or (np.isnan(left[key]) and np.isnan(right[key])), key


def test_order_scale_self_loops_and_foreign_genes_change_nothing():
    network = random_network(9)
    edges = with_weights(network, np.random.default_rng(6).normal(size=len(network)))
    truth = truth_of(network)
    first = score(edges, truth, n_permutations=50)
    loops = pd.DataFrame({"regulator": ["g00", "g01"], "target": ["g00", "g01"], "weight": [9.0, -9.0]})
    foreign = pd.DataFrame({"regulator": ["g00", "X"], "target": ["X", "Y"], "sign": [1, -1]})
    shuffled = pd.concat([edges, loops]).sample(frac=1, random_state=0)
    same(score(shuffled, pd.concat([foreign, truth.sample(frac=1, random_state=1)]), n_permutations=50), first)
    same(score(edges.assign(weight=3 * edges["weight"]), truth, n_permutations=50), first)
    same(score(edges.astype({"regulator": "category", "target": "category"}), truth, n_permutations=50), first)


@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=6)
def test_permuting_the_genes_of_a_matrix_changes_nothing(seed):
    circuit, rng = ce.simulate.gene_circuit("myeloid"), np.random.default_rng(seed)
    matrix, order = rng.normal(size=(11, 11)), rng.permutation(11)
    first = compare({"some": matrix}, circuit, circuit.genes, n_permutations=20)
    moved = compare({"some": matrix[np.ix_(order, order)]}, circuit, circuit.genes[order], n_permutations=20)
    pd.testing.assert_frame_equal(first, moved)


def test_other_names_change_only_the_draws():
    network = random_network(10)
    values = np.random.default_rng(7).normal(size=len(network))
    names = dict(
        zip(sorted(set(network["regulator"])), np.random.default_rng(8).permutation(12).astype(str), strict=True)
    )
    renamed = network.assign(**{key: network[key].map(names) for key in ("regulator", "target")})
    plain, other = (score(with_weights(some, values), truth_of(some), 200) for some in (network, renamed))
    for key in ("accuracy", "balanced_accuracy", "sign_auroc", "auroc", "auprc", "n_pairs", "f1_activation"):
        assert plain[key] == pytest.approx(other[key], abs=1e-12)
    assert plain["degree_null_mean"] == pytest.approx(other["degree_null_mean"], abs=0.03)


def test_score_takes_raw_tables_circuits_and_seeds():
    circuit = ce.simulate.gene_circuit("myeloid")
    edges = all_pairs(np.random.default_rng(9).normal(size=(11, 11)), circuit.genes)
    first = score(edges, circuit, n_permutations=50, seed=1)
    same(score(edges, reference(circuit), n_permutations=50, seed=1), first)
    assert score(edges, circuit, n_permutations=50, seed=2)["auroc_low"] != first["auroc_low"]
    assert all(isinstance(value, int | float | str) for value in first.values())


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (weights(["A B 1", "A B 2"]), "repeat one .A -> B"),
        (weights(["A B nan"]), "finite"),
        (table(["A B 1"], "value"), "regulator, target and weight"),
        (weights(["a b 1", "b c 1"]), r"upper case.*upper=True"),
        (weights(["X Y 1"]), "A, B, C.*X, Y"),
        (weights(["A A 1"]), "No edge of the reference"),
    ],
)
def test_score_says_what_is_wrong_with_the_edges(edges, message):
    with pytest.raises(ValueError, match=message):
        score(edges, KNOWN)


def test_score_refuses_impossible_options():
    for options in ({"n_permutations": 0}, {"level": 95}):
        with pytest.raises(ValueError, match="Expected n_permutations"):
            score(weights(["A B 1"]), KNOWN, **options)


def test_compare_scores_common_pairs_and_importances_have_no_sign():
    network = random_network(11)
    rng = np.random.default_rng(10)
    trees = with_weights(network, np.abs(rng.normal(size=len(network))) + network["weight"].abs())
    trees.attrs["signed"] = False
    part = network.sample(frac=0.8, random_state=0)
    matrix = np.zeros((12, 12))
    for row in network.itertuples():
        matrix[int(row.target[1:]), int(row.regulator[1:])] = row.weight
    genes = [f"g{i:02d}" for i in range(12)]
    result = compare({"truth": part, "matrix": matrix, "trees": trees}, truth_of(network), genes, n_permutations=50)
    assert list(result.index) == ["truth", "matrix", "trees"]
    assert result.index.name == "method"
    assert result["n_pairs"].nunique() == result["n_edges"].nunique() == 1
    alone = score(part, truth_of(network), n_permutations=50)
    same(dict(result.loc["truth"]), alone)
    same(dict(result.loc["matrix"]), alone)
    signs = ["accuracy", "accuracy_low", "balanced_accuracy", "sign_auroc", "null_mean", "p_value", "f1_activation"]
    assert result.loc["trees", signs].isna().all()
    assert result.loc["trees", "auroc"] > 0.7
    assert "sign" not in result.loc["trees", "warning"]


def test_compare_says_what_is_wrong():
    with pytest.raises(ValueError, match="at least one method"):
        compare({}, KNOWN)
    with pytest.raises(ValueError, match="without names for 'W'"):
        compare({"W": np.eye(3)}, KNOWN)
    with pytest.raises(ValueError, match="operator"):
        compare({"W": np.eye(3)}, KNOWN, genes=["A", "B"])
    with pytest.raises(ValueError, match="no pair in common"):
        compare({"one": weights(["A B 1"]), "two": weights(["a b 1"])}, KNOWN)
