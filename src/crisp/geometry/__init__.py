"""Pure tensor mathematics: poses, cameras, registration, point sets. No networks, files or data sets."""
