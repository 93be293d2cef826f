"""The assignments, one module each."""

from importlib import import_module

from ..assignment import Assignment, Question

MODULES = (
    "snapshots_and_distances",
    "operators_and_the_proposition",
    "train_and_race",
    "genes_and_doubt",
    "your_own_time_course",
)


def _collect() -> dict[str, Assignment]:
    found = [import_module(f"{__name__}.{module}").ASSIGNMENT for module in MODULES]
    return {assignment.number: assignment for assignment in found}


ASSIGNMENTS = _collect()
QUESTIONS: dict[str, Question] = {q.name: q for assignment in ASSIGNMENTS.values() for q in assignment.questions}
