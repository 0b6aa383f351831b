"""Recipes: the whole of a training as one frozen type, and where each of its values came from."""

from tinkit.recipe.load import Origin, ResolvedRecipe, load_recipe, rename, save_recipe
from tinkit.recipe.schema import Published, Recipe

__all__ = ["Origin", "Published", "Recipe", "ResolvedRecipe", "load_recipe", "rename", "save_recipe"]
