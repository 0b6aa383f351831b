PIXELS = {}
