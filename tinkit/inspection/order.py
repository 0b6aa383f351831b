"""In which order classes are shown. Importing this loads nothing else: the command line needs it for its help."""

from typing import Literal

ClassOrder = Literal["value", "clips", "confused", "name"]
"""The worst first, the most clips first, the most often confused first, or by name."""
