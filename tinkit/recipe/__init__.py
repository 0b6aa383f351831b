"""Recipes: the whole of a training as one frozen type, and where each of its values came from."""

from tinkit.recipe.load import ResolvedRecipe, load_recipe, rename, save_recipe
from tinkit.recipe.marks import Origin, change
from tinkit.recipe.schema import Published, Recipe

__all__ = ["Origin", "Published", "Recipe", "ResolvedRecipe", "change", "load_recipe", "rename", "save_recipe"]
