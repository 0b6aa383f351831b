"""An annotation of any layout, checked: ids once, paths below the root, labels as class indices."""
