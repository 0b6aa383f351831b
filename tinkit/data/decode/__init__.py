"""The frames of a clip, decoded from a video file or a folder of images within the limits that ``[data]`` sets."""
