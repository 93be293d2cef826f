"""Pictures of cells: data in, matplotlib Axes out, one palette.

Time is ordered, so its colours are: dark is early, light is late. A method keeps its colour and marker everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from .training import History

METHOD_STYLES = {
    "persistence": ("#767676", "s"),
    "mean-shift": ("#a6a6a6", "P"),
    "ot-interpolation": ("#0072b2", "D"),
    "neural-ode": ("#8c510a", "v"),
    "i-cfm": ("#56b4e9", "<"),
    "ot-cfm": ("#cc79a7", ">"),
    "ot-cfm-full": ("#882255", "h"),
    "sf2m": ("#b8a000", "p"),
    "mfm": ("#332288", "X"),
    "cell-mnn": ("#d55e00", "o"),
}
OTHER_STYLE = ("#009e73", "^")
HELD_OUT = "#d1006c"


def time_colors(n_times: int) -> np.ndarray:
    """Colours of ordered times.

    Parameters
    ----------
    n_times : int
        How many.

    Returns
    -------
    ndarray (n_times, 4)
        RGBA from dark (early) to light (late), readable on white and by the colour-blind.
    """
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 0.9, n_times))


def plot_snapshots(
    states: Sequence[np.ndarray],
    labels: Sequence[str],
    ax: Axes | None = None,
    title: str | None = "snapshot",
    colors: np.ndarray | None = None,
) -> Axes:
    """Scatter the first two coordinates of every snapshot.

    Parameters
    ----------
    states : sequence of ndarray (n_i, 2 or more)
        One cloud per time, in order.
    labels : sequence of str
        One per time, for the legend.
    ax : Axes, optional
        Where to draw; a new figure otherwise.
    title : str, optional
        Heading of the legend; None for no legend.
    colors : ndarray (n_times, 4), optional
        One per time; `time_colors` of their number otherwise. A snapshot keeps its colour when another is left out.

    Returns
    -------
    Axes
    """
    ax = ax or _new_axes()
    colors = time_colors(len(states)) if colors is None else colors
    for cells, label, color in zip(states, labels, colors, strict=True):
        ax.scatter(cells[:, 0], cells[:, 1], s=14, color=color, alpha=0.85, linewidths=0, label=label)
    if title is not None:
        # Beside the cells, never on them.
        ax.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, handletextpad=0.2)
    return ax


def plot_trajectories(paths: np.ndarray, ax: Axes | None = None, color: str = "black") -> Axes:
    """Draw the path of every cell on the first two coordinates, with a ring where it starts.

    Parameters
    ----------
    paths : ndarray (K, n, 2 or more)
        States of n cells at K times, as `CellMNN.trajectory` gives them.
    ax : Axes, optional
        Where to draw; a new figure otherwise.
    color : str
        Of the lines.

    Returns
    -------
    Axes
    """
    ax = ax or _new_axes()
    ax.plot(paths[:, :, 0], paths[:, :, 1], color=color, lw=0.9, alpha=0.7)
    ax.scatter(paths[0, :, 0], paths[0, :, 1], s=16, facecolors="none", edgecolors=color, linewidths=0.7, zorder=3)
    return ax


def plot_loss(history: History, ax: Axes | None = None) -> Axes:
    """Draw the terms of the loss over the steps.

    Parameters
    ----------
    history : History
        What `fit` returned.
    ax : Axes, optional
        Where to draw; a new figure otherwise.

    Returns
    -------
    Axes
    """
    ax = ax or _new_axes()
    terms = history.to_frame().drop(columns="loss")
    for name, style in zip(terms.columns, ("-", "--", ":"), strict=False):
        ax.plot(terms.index, terms[name], style, label=name, lw=1.5)
    ax.set(xlabel="step", ylabel="weighted term of the loss", yscale="log")
    ax.legend(frameon=False)
    return ax


def plot_scores(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw W1 of every method at every held-out time, over the band of the noise floor.

    Parameters
    ----------
    table : DataFrame
        Rows of `leave_one_out`: method, time, w1, floor_low, floor_high. Several seeds are several markers.
    ax : Axes, optional
        Where to draw; a new figure otherwise.

    Returns
    -------
    Axes
        The ticks stand at 0, 1, ... in the order of the held-out times.
    """
    ax = ax or _new_axes()
    times = sorted(table["time"].unique())
    for at, time in enumerate(times):
        rows = table[table["time"] == time]
        label = "noise floor" if at == 0 else None
        low, high = rows["floor_low"].mean(), rows["floor_high"].mean()
        ax.fill_between([at - 0.4, at + 0.4], low, high, color="#cccccc", lw=0, label=label)
    for k, (method, rows) in enumerate(table.groupby("method", sort=False)):
        color, marker = METHOD_STYLES.get(method, OTHER_STYLE)
        x = rows["time"].map(times.index) + 0.12 * (k - (table["method"].nunique() - 1) / 2)
        ax.scatter(x, rows["w1"], color=color, marker=marker, s=36, label=method, alpha=0.8, linewidths=0, zorder=3)
    ax.set(xticks=range(len(times)), xticklabels=[f"{t:g}" for t in times], xlabel="held-out time", ylabel="W1")
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return ax


def plot_benchmark(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a benchmark: one line per method, a dot per held-out time and seed, the mean, and the noise floor.

    Parameters
    ----------
    table : DataFrame
        Rows of `benchmark` for one data set.
    ax : Axes, optional
        Where to draw; a new figure otherwise.

    Returns
    -------
    Axes
        Methods from top to bottom in the order of the table; within a method the times likewise, coloured by time.
        The large marker is the mean over times and seeds; the grey band the mean of the noise floors' intervals.

    Raises
    ------
    ValueError
        For several data sets: their units of W1 differ.
    """
    if table["dataset"].nunique() != 1:
        raise ValueError(
            f"Expected rows of one data set, got {', '.join(table['dataset'].unique())}: W1 has another unit in each. "
            'Draw table[table["dataset"] == name] for one after the other.'
        )
    ax = ax or _new_axes()
    floors = table.drop_duplicates("index")[["floor_low", "floor_high"]].mean()
    ax.axvspan(*floors, color="#dddddd", lw=0, label="noise floor")
    times = sorted(table["time"].unique())
    colors = time_colors(len(times))
    methods = list(table["method"].unique())
    for y, method in enumerate(methods):
        rows = table[table["method"] == method]
        for k, (time, color) in enumerate(zip(times, colors, strict=True)):
            w1 = rows.loc[rows["time"] == time, "w1"]
            lane = np.full(len(w1), y + 0.5 * (k + 0.5) / len(times) - 0.25)
            ax.scatter(w1, lane, s=16, color=color, lw=0, alpha=0.85, label=None if y else f"held out: {time:g}")
        color, marker = METHOD_STYLES.get(method, OTHER_STYLE)
        ax.scatter(rows["w1"].mean(), y, s=80, color=color, marker=marker, edgecolors="white", lw=0.8, zorder=3)
    ax.scatter([], [], s=80, facecolors="none", edgecolors="#444444", label="mean")
    ax.set(yticks=range(len(methods)), yticklabels=methods, xlabel="W1 to the held-out cells")
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="x", color="#eeeeee", zorder=0)
    ax.set_axisbelow(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, handletextpad=0.2)
    return ax


def _new_axes() -> Axes:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(6, 4.5), layout="constrained")[1]
