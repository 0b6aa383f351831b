"""Sphinx's settings for the site that `make docs` builds from this folder, offline and with warnings as errors."""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

project = "tinkit"
author = "the tinkit authors"
extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc"]
exclude_patterns = ["api/modules.rst"]

html_theme = "furo"
html_title = "tinkit"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_copyright = False
smartquotes = False  # options begin with two hyphens
html_copy_source = False
html_show_sourcelink = False

myst_heading_anchors = 4  # links to headings work as on GitHub
myst_enable_extensions = ["attrs_inline"]

# The pages of the Python API: one for each package, listed from the tree. A name is described where it is defined.
apidoc_modules = [
    {"path": "../tinkit", "destination": "api", "exclude_patterns": ["../tinkit/cli", "../tinkit/__main__.py"]}
]
apidoc_module_first = True
apidoc_max_depth = 1
apidoc_automodule_options = {"members"}
autodoc_default_options = {"ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_use_type_comments = False
python_use_unqualified_type_names = True
toc_object_entries = False

# A role in a docstring must lead somewhere within tinkit; names of other packages are text.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!tinkit\.).*")]


def surface(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """A package's page begins with what the package offers by itself: the names of `__all__`."""
    if what == "module" and getattr(found, "__all__", None):
        words = [word for word in found.__all__ if _has_a_page(found, word)]
        lines += ["", "Offered here: " + ", ".join(f":py:obj:`~{name}.{word}`" for word in words) + ".", ""]


def _has_a_page(package: Any, word: str) -> bool:
    """Whether a name of a package is a class, a function, or a module of it that nobody has imported yet."""
    found = getattr(package, word, None)
    return found is None or inspect.isclass(found) or inspect.isroutine(found) or inspect.ismodule(found)


def defined_elsewhere(app: Any, env: Any, node: Any, child: Any) -> Any:
    """Lead a name that a package passes on to where it is defined; leave names of annotations and bases as text.

    A role that names nothing stays unresolved, which is a warning, and so an error.
    """
    target = node.get("reftarget", "")
    module, _, name = target.rpartition(".")
    if not target.startswith("tinkit."):
        return None
    home = ""
    with suppress(ImportError, AttributeError):
        found = inspect.unwrap(getattr(import_module(module), name))
        home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', name)}"

    def resolved(word: str) -> Any:
        domain = env.domains.python_domain
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", word, node, child)

    reference = resolved(home) if home not in ("", target) else None
    if reference is not None:
        return reference
    if name.startswith("_") or not isinstance(child, nodes.literal):
        return child
    return resolved(module) if home else None  # a table or an alias that exists: its module says what it is


# Files outside of this folder that pages here include: links to the one lead to the other.
INCLUDED = {"kernels/README.md": "kernels.md", "CHANGELOG.md": "changes.md"}


def links_to_included(app: Any, page: str, source: list[str]) -> None:
    """Readers of the repository follow links to files, readers of the site those to pages."""
    up = "../" * page.count("/")
    for file, place in INCLUDED.items():
        source[0] = source[0].replace(f"]({up}../{file}", f"]({up}{place}")


def levelled(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Give the captions of the navigation, which Sphinx calls headings, the level that a heading must have."""
    if navigation := context.get("furo_navigation_tree"):
        context["furo_navigation_tree"] = navigation.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Any) -> None:
    """Sphinx calls this when it starts."""
    app.connect("source-read", links_to_included)
    app.connect("autodoc-process-docstring", surface)
    app.connect("missing-reference", defined_elsewhere)
    app.connect("html-page-context", levelled, priority=900)  # after the theme's own
