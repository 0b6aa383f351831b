"""What a recipe says of its data: which set, how clips are cut, what is read."""
