"""The table that is shown while a sweep runs."""

import io

from satgan.train.progress import Progress
from tune.board import Line, SweepBoard, TableScreen, cost_text, table_text


def progress(step: int, seconds_left: float, dollars: float | None = None) -> Progress:
    return Progress(step, 100, 0.5, 0.5, 0.9, 0.1, 100.0, seconds_left, dollars=dollars)


def test_the_table_tells_trial_values_step_score_time_and_cost() -> None:
    values = {"recipe.generator_l2": 1e-4, "seed": 7}
    lines = [
        Line("a-s7", values, False, progress(100, 0), (100, 4.0), 1800.0),
        Line("b-s7", values, True, progress(40, 60.0), (20, 9.5), 1200.0),
    ]
    head, row, told = table_text(lines, total=4, at_once=2, unit=(0.5, "GPU")).splitlines()
    assert head.split() == ["trial", "varies", "step", "score", "(floor", "1)", "left"]
    for part in ("b-s7", "generator_l2 0.0001, seed 7", "40 of 100", "9.50 after 20", "1:00"):
        assert part in row
    assert told == "1 of 4 trials through · best so far 4.00 · 30:30 left · 0.42 GPU-hours so far"


def test_the_table_tells_what_the_sweep_costs_where_prices_are_known() -> None:
    lines = [Line("a", {}, False, progress(100, 0, 1.5), None, 1800.0), Line("b", {}, True, None, None, 1800.0)]
    for dollars, budget, told in ((0.0, None, ""), (1.75, None, " · 1.75 USD"), (1.75, 20.0, " · 1.75 of 20 USD")):
        text = table_text(lines, 3, 2, (1.0, "GPU"), cost_text(dollars, budget))
        assert text.endswith(f"1.00 GPU-hours{told} so far")


def test_a_board_counts_the_time_of_every_attempt() -> None:
    board = SweepBoard()
    board.begin("a", {"x": 1}, 5)
    board.begin("a", {"x": 1}, 5)
    board.score("a", 10, 3.0)
    board.end("a")
    ((line,), said, _) = board.take()
    assert (line.values, line.running, line.score) == ({"x": 1, "seed": 5}, False, (10, 3.0))
    assert 0 <= line.seconds < 60
    assert said == ["a · step 10/? · score 3.00 (floor 1)"]
    assert board.take()[1] == []


def test_lines_are_kept_and_the_table_is_drawn_over_on_a_terminal_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        screen = TableScreen(stream)
        screen.show("head\nrow", ["said"])
        screen.show("head\nother", [])
    assert plain.getvalue() == "said\n"
    assert terminal.getvalue() == "said\nhead\nrow\n\x1b[2A\x1b[Jhead\nother\n"
