"""The exercises of the book, one module for each chapter."""

from importlib import import_module

from ..exercise import Exercise

CHAPTERS = (
    "seeing_cells_move",
    "snapshots_not_movies",
    "every_field_is_linear",
    "one_field_many_operators",
    "moving_in_closed_form",
    "what_snapshots_cannot_tell",
    "a_network_that_writes_matrices",
    "matching_crowds",
    "training_from_laptop_to_gpu",
    "baselines_that_bite",
    "a_second_way_to_train",
    "a_fair_race",
    "from_components_to_genes",
    "is_it_right",
    "doing_better",
    "operators_as_cell_states",
    "what_if",
)


def _collect() -> dict[str, Exercise]:
    found: dict[str, Exercise] = {}
    for chapter in CHAPTERS:
        for name, exercise in import_module(f"{__name__}.{chapter}").EXERCISES.items():
            if name in found:
                raise ValueError(f"Two exercises are called {name!r}; rename the one of {chapter}.")
            found[name] = exercise
    return found


EXERCISES = _collect()
