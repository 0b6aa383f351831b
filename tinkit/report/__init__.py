"""One page from runs and fusions: a single HTML file that needs no network."""
