"""tinkit: Temporal Interlacing Networks from a recipe to a leaderboard submission.

Importing this package imports nothing heavy; its rooms are imported by name: ``tinkit.ops``, ``tinkit.models``,
``tinkit.data``, ``tinkit.engine``, ``tinkit.fusion``, ``tinkit.submission``, ``tinkit.metrics``, ``tinkit.scores``.
"""

__version__ = "0.1.0"
