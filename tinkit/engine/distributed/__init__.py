"""The processes of one command: started, joined, watched and stopped."""
