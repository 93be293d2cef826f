"""From operators to genes: read a network, put it in a table, judge it, and compare it with cheaper ones."""

from .fluctuations import drift_jacobian, fluctuation_operator
from .genes import GeneOperators, gene_operator, read
from .limits import limits_table, mean_jacobian, projection_limits
from .peers import (
    PEERS,
    correlation,
    field_jacobian,
    lagged_regression,
    no_dynamics,
    partial_correlation,
    trees,
)
from .scoring import compare, reference, rewire, score
from .tables import (
    differential,
    edges,
    ensemble,
    false_selections,
    matrix,
    to_anndata,
    to_networkx,
    write,
    write_graphml,
)

__all__ = [
    "PEERS",
    "GeneOperators",
    "compare",
    "correlation",
    "differential",
    "drift_jacobian",
    "edges",
    "ensemble",
    "false_selections",
    "field_jacobian",
    "fluctuation_operator",
    "gene_operator",
    "lagged_regression",
    "limits_table",
    "matrix",
    "mean_jacobian",
    "no_dynamics",
    "partial_correlation",
    "projection_limits",
    "read",
    "reference",
    "rewire",
    "score",
    "to_anndata",
    "to_networkx",
    "trees",
    "write",
    "write_graphml",
]
