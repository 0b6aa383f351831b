"""Data sets, from their official files to batches of clips; it knows nothing of models.

From the lowest room up: ``paths`` and ``layouts``; ``config``, the recipe's tables; ``annotations`` and ``manifest``;
``decode``; ``probe``, ``sampling`` and ``flow``; ``clips``. ``synth`` makes synthetic challenges in the same layouts.
"""
